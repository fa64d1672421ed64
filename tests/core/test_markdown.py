from __future__ import annotations

import re
import time

import pytest

from core.markdown import mentioned_names, to_html


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@alice, @ml-leads and @first.last.", ["alice", "ml-leads", "first.last"]),
        ("(@alice) **@dkim** cc:@sam\n- @alice", ["alice", "dkim", "sam"]),
        ("> @alice", ["alice"]),
        ("| a |\n|---|\n| @alice |", ["alice"]),
        ("@ann@example.com", ["ann@example.com"]),  # a username may be an address
        ("@Ana_B_c @Ｂｏｂ", ["Ana_B_c", "Bob"]),  # as accounts spell it
        (r"\@alice", []),
        ("`@alice` ``` @alice ```", []),
        ("~~~\n@alice\n~~~\n\n    @alice", []),
        ("ann@alice.example <ann@alice.example> models:/churn@alice https://example.com/@alice", []),
        ("[@alice](https://example.com) <https://@alice>", []),
        ("@ @@ @. @@alice a@b@c", []),
    ],
)
def test_mentions_are_names_after_an_at_sign_outside_code_links_and_addresses(text: str, names: list[str]) -> None:
    assert mentioned_names(text) == names


def test_a_mention_is_emphasised_where_mentions_are_asked_for() -> None:
    assert to_html("Ask @ali_ce.", mentions=True) == "<p>Ask <strong>@ali_ce</strong>.</p>\n"
    assert to_html("Ask @alice.") == "<p>Ask @alice.</p>\n"


@pytest.mark.parametrize(
    "hostile", ["@<script>alert(1)</script>", "@a<img src=x onerror=alert(1)>", '@a"><b>', "@a&lt;b&gt;"]
)
def test_a_hostile_mention_comes_out_harmless(hostile: str) -> None:
    html = to_html(hostile, mentions=True)

    assert not re.findall(r"<(?!/?(?:p|strong)>)", html)


def test_many_mentions_are_read_in_no_time() -> None:
    started = time.process_time()

    for text in ("@a" + "@" * 60_000, "@a.-" * 15_000, "@" * 60_000, " @a" * 20_000):
        mentioned_names(text)

    assert time.process_time() - started < 5


@pytest.mark.parametrize("definition", ["[a]: http://example.com/" + "y" * 30_000, "[a]: /x '" + "y" * 30_000 + "'"])
def test_an_address_that_is_referred_to_often_does_not_make_a_page_of_megabytes(definition: str) -> None:
    text = definition + "\n\n" + "[a] " * 8_000

    assert len(to_html(text)) < 25 * len(text)


def test_links_by_reference_lead_where_they_are_defined_to() -> None:
    html = to_html("[a] and [again][a], [b](https://example.com/b)\n\n[a]: https://example.com/a 'A'")

    assert html.count('href="https://example.com/a" title="A"') == 2 and 'href="https://example.com/b"' in html
