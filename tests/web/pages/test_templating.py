"""How templates are compiled, kept and drawn; what they say is in test_templates.py."""

from __future__ import annotations

import traceback
from pathlib import Path

import jinja2
import pytest

from web.pages.templating import Templates


def templates_in(folder: Path) -> Templates:
    return Templates(
        {
            "NAME": "tried",
            "DIRS": [folder],
            "APP_DIRS": False,
            "OPTIONS": {"environment": "web.pages.templating.environment"},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text("<h1>\n{% block figures %}\n{{ 6 // by }}{% endblock %}</h1>")
    return tmp_path


def kept(folder: Path) -> Path:
    (entry,) = (folder / "__pycache__").iterdir()
    return entry


def drawn(folder: Path) -> str:
    return str(templates_in(folder).get_template("page.html#figures").render({"by": 2})).strip()


def test_what_one_user_compiled_another_reads(folder: Path) -> None:
    templates_in(folder).load()

    assert kept(folder).stat().st_mode & 0o777 == 0o644


def test_what_was_compiled_is_kept(folder: Path) -> None:
    templates_in(folder).load()
    first = kept(folder).stat().st_ino

    templates_in(folder).load()

    assert kept(folder).stat().st_ino == first


def test_another_version_of_jinja_compiles_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates_in(folder).load()
    first = kept(folder).stat().st_ino

    monkeypatch.setattr(jinja2, "__version__", "99.0")
    templates_in(folder).load()

    assert kept(folder).stat().st_ino != first


def test_what_is_damaged_is_compiled_anew(folder: Path) -> None:
    templates_in(folder).load()
    whole = kept(folder).read_bytes()

    for length in range(0, len(whole), 7):
        kept(folder).write_bytes(whole[:length])

        assert drawn(folder) == "3"
        assert kept(folder).read_bytes() == whole


def test_where_nothing_can_be_kept_pages_are_drawn(folder: Path) -> None:
    (folder / "__pycache__").write_text("not a folder")

    assert drawn(folder) == "3"


def test_a_fault_in_a_part_names_the_line_of_its_template(folder: Path) -> None:
    page = templates_in(folder).get_template("page.html#figures")

    with pytest.raises(ZeroDivisionError) as raised:
        page.render({"by": 0})

    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (Path(last.filename), last.lineno) == (folder / "page.html", 3)
