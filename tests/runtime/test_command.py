"""How a command ends."""

import pytest

from sluicegate_runtime import InputError, RunError
from sluicegate_runtime.command import exit_status


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("size: 0\nmust be 1"), 2, "sluicegate: error: size: 0 must be 1\n"),
        (RunError("no memory"), 1, "sluicegate: error: no memory\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(error, status, line, capsys):
    def fail():
        raise error

    assert exit_status(fail) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (2, 2)])
def test_a_command_may_say_how_it_ended(returned, status):
    assert exit_status(lambda: returned) == status


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 // 0)
