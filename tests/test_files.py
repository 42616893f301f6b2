import os

import pytest

from sluicegate.errors import InputError
from sluicegate.files import whole_file, write_json, write_text


def test_a_file_is_whole_or_that_of_before(tmp_path):
    file = tmp_path / "folder" / "text"
    write_text(file, "before")
    with pytest.raises(ZeroDivisionError), whole_file(file) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "before"
    assert os.listdir(file.parent) == ["text"]


def test_json_ends_with_its_line(tmp_path):
    write_json(tmp_path / "one.json", {"a": [1]})
    assert (tmp_path / "one.json").read_text() == '{\n  "a": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize(
    ("place", "reason"), [("file/below", "Not a directory|File exists"), ("folder", "it is a folder")]
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, place, reason):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"{place}: cannot be written: ({reason})"), whole_file(tmp_path / place):
        pytest.fail("the work began")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
