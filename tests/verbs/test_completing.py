"""`sluicegate completion`: the script completes in a shell."""

import subprocess
from pathlib import Path

import pytest

from sluicegate import cli
from sluicegate.verbs import arguments, completing


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of the words of a command line."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _shtab_sluicegate; echo ${{COMPREPLY[*]}}"
    )
    return set(subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_bash_completes_verbs_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert completed(script, "sluicegate", "fine") == {"finetune"}
    assert completed(script, "sluicegate", "ex") == {"export"}
    assert completed(script, "sluicegate", "evaluate", "--str") == {"--strategy"}


@pytest.mark.parametrize("shell", arguments.SHELLS)
def test_every_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert "finetune" in capsys.readouterr().out


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(completing, "find_spec", lambda name: None)
    assert cli.main(["completion", "bash"]) == 2
    assert "pip install 'sluicegate[completion]'" in capsys.readouterr().err


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish"]) == 2
    assert "fish" in capsys.readouterr().err
