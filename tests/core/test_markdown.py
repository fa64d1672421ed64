from __future__ import annotations

import pytest

from core.markdown import to_html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "<a href='javascript:x'>x</a>",
        "![pixel](https://tracker.example/p.png)",
        "<style>body{display:none}</style>",
        "<form action='https://evil.example'><input></form>",
    ],
)
def test_hostile_markdown_comes_out_harmless(hostile: str) -> None:
    html = to_html(hostile)

    for piece in ("<script", "<img", "<style", "<form", "<input", 'href="javascript', 'href="data', 'href="vbscript'):
        assert piece not in html.lower()


def test_links_carry_no_trust() -> None:
    assert to_html("[docs](https://example.com)").strip() == (
        '<p><a href="https://example.com" rel="nofollow noopener">docs</a></p>'
    )


def test_headings_start_below_those_of_the_page() -> None:
    assert to_html("# Results") == "<h3>Results</h3>\n"
    assert to_html("###### Fine print") == "<h6>Fine print</h6>\n"


def test_code_tables_and_lists_are_kept() -> None:
    html = to_html("`tenure`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")

    assert "<code>tenure</code>" in html
    assert "<li>two</li>" in html
    assert "<td>2</td>" in html


def test_a_line_break_is_a_line_break() -> None:
    assert "<br" in to_html("one\ntwo")
