"""Docstrings as Sphinx wants them.

Ours mark code by indentation or `>>>`, without a directive, and use single quotes for names. Here code becomes a code
block, and characters that mean something in reStructuredText (`*`, `|`, `name_`) lose their meaning outside of quotes.
Runs before napoleon, which reads the sections (Args, Returns, Raises).
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

from sphinx.application import Sphinx
from sphinx.ext.autodoc import Options

_BEFORE_NAPOLEON = 400
_SECTIONS = {"Args:", "Returns:", "Raises:", "Attributes:", "Yields:"}
_EXAMPLE = "Example:"
_QUOTED = re.compile(r"(`[^`]*`)")
_SPECIAL = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def prepared(lines: list[str]) -> list[str]:
    """A docstring, its code in code blocks."""
    return [line for block in _blocks(lines) for line in (*block, "")]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs; those that are code, one after another, as one code block."""
    parts = [list(part) for blank, part in groupby(lines, lambda line: not line.strip()) if not blank]
    for is_code, group in groupby(parts, _is_code):
        found = list(group)
        if not is_code:
            yield from ([_escaped(line) for line in part] for part in found)
            continue
        code = textwrap.dedent("\n\n".join("\n".join(_without_heading(part)) for part in found))
        language = "pycon" if code.startswith(">>>") else "python" if _parses(code) else "none"
        yield [f".. code-block:: {language}", "", *textwrap.indent(code, "    ").splitlines()]


def _is_code(part: list[str]) -> bool:
    if part[0] == _EXAMPLE:
        return True
    if part[0] in _SECTIONS or not part[0].startswith("    "):
        return False
    text = textwrap.dedent("\n".join(part))
    return text.startswith(">>>") or _parses(text)


def _without_heading(part: list[str]) -> list[str]:
    return part[1:] if part[0] == _EXAMPLE else part


def _parses(text: str) -> bool:
    try:
        return bool(ast.parse(text).body)
    except SyntaxError:
        return False


def _escaped(line: str) -> str:
    pieces = _QUOTED.split(line)
    return "".join(_quoted(piece) if piece.startswith("`") else _SPECIAL.sub(r"\\\1", piece) for piece in pieces)


def _quoted(piece: str) -> str:
    """A name in quotes; with a dot before it, which would be a search for any such name, it is code."""
    return f"`{piece}`" if piece.startswith("`.") else piece


def _prepare(app: Sphinx, what: str, name: str, obj: object, options: Options, lines: list[str]) -> None:
    lines[:] = prepared(lines)


def _skip(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: Options) -> bool | None:
    """Fields of a named tuple have docstrings that say nothing."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", _prepare, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
