"""The documentation as data: its pages, their code, their commands, their links and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
"""What the site is made of; each opens with three lines."""

DOCUMENTS = sorted([*ROOT.glob("*.md"), *PAGES])
"""Everything that people read as Markdown."""

PYTHON = ("python", "{code-cell} ipython3")
SHELL = ("", "sh", "bash", "console")

_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*$")
_IN_HTML = re.compile(r'(?:src|href)="([^"]*)"')
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """Code on a page: its language ("" where nothing is said or it is indented), its text, its line."""

    language: str
    text: str
    line: int
    fenced: bool


def text_of(page: Path) -> str:
    """The page without the head that says how to run it, with as many lines."""
    text = page.read_text(encoding="utf-8")
    return _HEAD.sub(lambda head: "\n" * head.group().count("\n"), text)


def name_of(page: Path) -> str:
    """As in docs/dlcg.md."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Fenced and indented code, in order."""
    return [
        Block(token.info.strip(), token.content, (token.map or [0])[0] + 1, token.type == "fence")
        for token in _tokens(page)
        if token.type in ("fence", "code_block")
    ]


def python_of(page: Path) -> list[Block]:
    """The code that is Python."""
    return [block for block in blocks_of(page) if block.language in PYTHON]


def commands_of(page: Path) -> list[list[str]]:
    """The words of each command line in its blocks of shell code; comments and variables before it are left out."""
    texts = [block.text for block in blocks_of(page) if block.language in SHELL]
    return [words for text in texts for words in commands_in(text)]


def commands_in(text: str) -> list[list[str]]:
    """The words of each line that is a command of ours: of `sluicegate`, `make`, or a benchmark."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if not re.search(r"\b(sluicegate|make|python) ", line):
            continue
        words = shlex.split(line, comments=True)
        while words and _ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words and words[0] in ("sluicegate", "make", "python"):
            found.append(words)
    return found


def mentions_of(page: Path) -> Iterator[str]:
    """The texts in single quotes, as `this`."""
    for token in _inline(page):
        if token.type == "code_inline":
            yield token.content


def links_of(page: Path) -> Iterator[str]:
    """Where links and pictures lead."""
    for token in _inline(page):
        if token.type in ("link_open", "image"):
            yield str(token.attrs.get("href") or token.attrs.get("src"))
        elif token.type == "html_inline":
            yield from _IN_HTML.findall(token.content)
    for token in _tokens(page):
        if token.type == "html_block":
            yield from _IN_HTML.findall(token.content)


def anchors_of(page: Path) -> set[str]:
    """What can follow # in a link to the page: its headings, as GitHub and MyST spell them."""
    tokens = _tokens(page)
    titles = [tokens[number + 1].content for number, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _tokens(page: Path) -> list[Token]:
    return _MARKDOWN.parse(text_of(page))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()
