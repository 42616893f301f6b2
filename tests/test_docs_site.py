"""What the site adds to Sphinx: the sidebar from the home page, and docstrings as reStructuredText."""

import importlib
import sys
from types import ModuleType

import pytest
from pages import PAGES, ROOT, name_of

pytest.importorskip("sphinx")


@pytest.fixture(params=["contents", "docstrings"])
def extension(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    return importlib.import_module(request.param)


@pytest.mark.parametrize("extension", ["contents"], indirect=True)
def test_the_sidebar_has_every_page_of_the_home_page(extension: ModuleType) -> None:
    made = extension.tables_of_contents((ROOT / "docs" / "index.md").read_text())
    for page in PAGES:
        link = name_of(page).removeprefix("docs/")
        assert made.count(f"<{link}>") == (link != "index.md")
    assert made.count(":caption:") == made.count("```{toctree}")


@pytest.mark.parametrize("extension", ["contents"], indirect=True)
def test_a_section_without_pages_is_none_of_the_sidebar(extension: ModuleType) -> None:
    home = "# Home\n\n## Words\n\nNothing.\n\n## Pages\n\n- [One](one.md): first.\n- [Two](two.md#part): a part.\n"
    assert extension.tables_of_contents(home).split() == (
        ["```{toctree}", ":hidden:", ":caption:", "Pages", "One", "<one.md>", "```"]
    )


@pytest.mark.parametrize("extension", ["docstrings"], indirect=True)
@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        ("Adds.\n\n    x = f(1)\n    # 2", "Adds.\n\n.. code-block:: python\n\n    x = f(1)\n    # 2\n"),
        ("Adds.\n\nExample:\n    >>> f(1)\n    2", "Adds.\n\n.. code-block:: pycon\n\n    >>> f(1)\n    2\n"),
        (
            "Adds.\n\nRaises:\n    InputError: never.\n\n    f(1)",
            "Adds.\n\nRaises:\n    InputError: never.\n\n.. code-block:: python\n\n    f(1)\n",
        ),
        ("The product a * b_ of `a * b`.", "The product a \\* b\\_ of `a * b`.\n"),
        ("They are in `.gates`.", "They are in ``.gates``.\n"),
        ("Args:\n    x: a number.", "Args:\n    x: a number.\n"),
    ],
)
def test_code_becomes_code_and_the_rest_stays_text(extension: ModuleType, docstring: str, wanted: str) -> None:
    assert "\n".join(extension.prepared(docstring.splitlines())) == wanted
