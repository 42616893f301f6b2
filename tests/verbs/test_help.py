"""`sluicegate --help`: verbs by what a user wants to do."""

import re

import pytest

from sluicegate import cli
from sluicegate.verbs.help import GROUPS


def test_every_verb_is_in_one_group() -> None:
    grouped = [verb for verbs in GROUPS.values() for verb in verbs]
    assert sorted(grouped) == sorted(cli._VERBS)


def test_help_lists_the_verbs_below_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    headings = re.findall(r"^  (\w[\w ]*):$", text, re.MULTILINE)
    assert headings == list(GROUPS)
    measure = text[text.index("  measure:") : text.index("  export and run:")]
    assert re.findall(r"^    (\w+)", measure, re.MULTILINE) == list(GROUPS["measure"])
