"""The sidebar of the site, made from the lists of links on its home page.

Each list below a heading of docs/index.md becomes a hidden table of contents with that heading as its caption. So the
home page is plain Markdown, and the order of the pages is written once.
"""

import re

from sphinx.application import Sphinx

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_LINK = re.compile(r"^- \[([^]]+)\]\(([^):#]+\.md)\)", re.MULTILINE)


def tables_of_contents(home: str) -> str:
    """The directives for a home page: a `toctree` for each section that lists pages."""
    _, *parts = _SECTION.split(home)
    sections = zip(parts[::2], map(_LINK.findall, parts[1::2]), strict=True)
    return "".join(_toctree(caption, links) for caption, links in sections if links)


def _toctree(caption: str, links: list[tuple[str, str]]) -> str:
    entries = "\n".join(f"{title} <{page}>" for title, page in links)
    return f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def _add(app: Sphinx, page: str, source: list[str]) -> None:
    if page == app.config.root_doc:
        source[0] += tables_of_contents(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", _add)
    return {"parallel_read_safe": True}
