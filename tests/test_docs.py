"""The form of the documentation: three lines that open a page, links that lead somewhere, nothing left out."""

import ast
import importlib
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from pages import DOCUMENTS, PAGES, PYTHON, ROOT, anchors_of, blocks_of, links_of, name_of, text_of

OPENING = re.compile(
    r"\s*# [^\n]+\n\n- \*\*What:\*\* [^\n]+\.\n- \*\*When:\*\* [^\n]+\.\n- \*\*Shortest command:\*\* `[^\n]+`\n\n"
)
API = {
    "sluicegate": "sluicegate",
    "methods": "sluicegate.methods",
    "train": "sluicegate.train",
    "data": "sluicegate.data",
    "nets": "sluicegate.nets",
    "analysis": "sluicegate.analysis",
    "runtime": "sluicegate_runtime",
}
"""Page in docs/api -> the package whose public names it has."""


def dead_links(page: Path, root: Path = ROOT) -> list[str]:
    """Links that lead to no file or no heading below `root`; those to other sites are not looked at."""
    return [
        link for link in links_of(page) if not re.match(r"[a-z]+:", link) and not _leads_somewhere(page, link, root)
    ]


def _leads_somewhere(page: Path, link: str, root: Path) -> bool:
    place, _, anchor = unquote(link).partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.is_relative_to(root) or not target.exists():
        return False
    return not anchor or anchor in anchors_of(target)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_opens_with_what_when_and_a_command(page: Path) -> None:
    assert OPENING.match(text_of(page)), f"{name_of(page)} does not open as docs/dlcg.md does"


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n\n[a](#a-title) [b](#other) [c](gone.md) ![d](gone.png) [e](https://x.org/) [f](/etc)\n"
    )
    assert dead_links(page, tmp_path) == ["#other", "gone.md", "gone.png", "/etc"]


def test_the_home_page_names_every_page() -> None:
    home = ROOT / "docs" / "index.md"
    named = [(home.parent / link).resolve() for link in links_of(home)]
    assert len(named) == len(set(named)), "a page is named twice"
    assert {page for page in PAGES if page != home} <= set(named)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_python_is_marked_as_python(page: Path) -> None:
    """Only what is marked is run."""
    for block in blocks_of(page):
        if block.language not in PYTHON and ("import " in block.text or " = " in block.text):
            assert not _parses(block.text), f"line {block.line}: this is Python and not marked"


def _parses(text: str) -> bool:
    try:
        return bool(ast.parse(text).body)
    except SyntaxError:
        return False


@pytest.mark.parametrize(("page", "package"), API.items())
def test_every_public_name_is_in_the_reference(page: str, package: str) -> None:
    text = (ROOT / "docs" / "api" / f"{page}.md").read_text()
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE)
    assert len(listed) == len(set(listed)), "a name is listed twice"
    assert set(listed) == _public(package)


def _public(package: str) -> set[str]:
    """What the `__init__` imports under its own name (`from x import y as y`), or assigns."""
    folder = ROOT / "src" / package.replace(".", "/")
    stub = folder / "__init__.pyi"
    tree = ast.parse((stub if stub.exists() else folder / "__init__.py").read_text())
    names = {
        a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names if a.asname == a.name
    }
    named = {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return names | named


def test_the_names_are_there() -> None:
    """What the test above reads from the source is what Python finds."""
    for package in API.values():
        module = importlib.import_module(package)
        assert not [name for name in _public(package) if not hasattr(module, name)]
