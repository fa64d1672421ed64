"""Markdown written by people to HTML that is safe to show, and whom it mentions. No raw HTML, no images, no scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

TAGS = frozenset(
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split()
)
# How many times the length of a text its links may come to; spelt out, even an address of emoji is not longer. What one
# definition says may be referred to thousands of times.
_MOST_OF_LINKS = 12
# The signs of a username or a team's name; a full stop at its end ends the sentence. No part of an address or a path.
_MENTION = re.compile(r"(?<![\w.+/@-])@(\w(?:[\w.+@-]*\w)?)")


def _emphasise_mentions(state: StateCore) -> None:
    for block in state.tokens:
        if block.children:
            block.children = [part for token in _with_place(block.children) for part in token]


def _with_place(tokens: list[Token]) -> Iterator[list[Token]]:
    """Each token or, for a text outside links, the tokens of its parts. Code is another type of token."""
    links = 0
    for token in tokens:
        links += token.nesting if token.type in ("link_open", "link_close") else 0
        yield list(_parts(token)) if token.type == "text" and not links else [token]


def _parts(token: Token) -> Iterator[Token]:
    end = 0
    for found in _MENTION.finditer(token.content):
        yield Token("text", "", 0, content=token.content[end : found.start()])
        yield Token("mention_open", "strong", 1)
        yield Token("text", "", 0, content=found[0])
        yield Token("mention_close", "strong", -1)
        end = found.end()
    yield Token("text", "", 0, content=token.content[end:])


def _bound_links(state: StateCore) -> None:
    """Links beyond what a text may hold lead nowhere."""
    left = _MOST_OF_LINKS * len(state.src)
    for block in state.tokens:
        for token in block.children or ():
            left -= sum(len(str(value)) for value in token.attrs.values())
            if left < 0:
                token.attrs = {}


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.core.ruler.after("inline", "bound_links", _bound_links)
    return parser.enable(["table", "strikethrough"]).disable("image")


_PARSER = _parser()
_CONVERSATION = _parser()
# Before "text_join": a mention whose @ is escaped is none.
_CONVERSATION.core.ruler.before("text_join", "mentions", _emphasise_mentions)


def to_html(text: str, *, mentions: bool = False) -> str:
    """HTML of a comment or description. Its headings start at h3, below those of the page. ``mentions``: emphasised."""
    parser = _CONVERSATION if mentions else _PARSER
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html = parser.renderer.render(tokens, parser.options, {})
    return nh3.clean(
        html,
        tags=set(TAGS),
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener",
    )


def mentioned_names(text: str) -> list[str]:
    """The names after an @, each once, as accounts and teams spell them; not those in code, links and addresses."""
    inline = (token for block in _CONVERSATION.parse(text) for token in block.children or ())
    opened = False
    names = []
    for token in inline:
        if opened:
            names.append(unicodedata.normalize("NFKC", token.content[1:]))
        opened = token.type == "mention_open"
    return list(dict.fromkeys(names))
