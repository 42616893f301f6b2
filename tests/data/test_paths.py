"""Paths in one piece of memory are the paths that went in."""

from pathlib import Path

import pytest

from sluicegate.data.paths import PathList

NAMES = ["a.png", "ein Bild/ü.png", "日本/50%.jpg", "x" * 300, "bad\udcff.png"]


def test_paths_come_out_as_they_went_in() -> None:
    paths = PathList(iter(NAMES))
    assert list(paths) == [Path(name) for name in NAMES] and len(paths) == len(NAMES)
    assert paths[-1] == Path(NAMES[-1]) and paths[1:3] == [Path(NAMES[1]), Path(NAMES[2])]
    with pytest.raises(IndexError):
        paths[len(NAMES)]
    assert list(PathList([])) == []
