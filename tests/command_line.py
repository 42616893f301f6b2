"""The command line, called in this process; `commands.py` starts it as users do."""

import json

from commands import only_line

from sluicegate.cli import main


def small_recipe(method: str, epochs: int = 1) -> str:
    """YAML of a training that takes a second or two."""
    return f"""
name: small
data: {{name: digits, batch_size: 64, limit_train: 128, limit_test: 40}}
net: {{name: resnet8, options: {{width: 0.25}}}}
method: {{name: {method}}}
epochs: {epochs}
accelerator: cpu
"""


SMALL = small_recipe("dlcg")
LEFT_OUT = {"ONNX Runtime": "onnx is not installed"}


def printed(capsys, *arguments):
    """What a command prints with --json, which is one JSON object on one line."""
    assert main([*arguments, "--json"]) == 0
    found = json.loads(only_line(capsys.readouterr().out))
    assert isinstance(found, dict)
    return found


def refused(capsys, status, *arguments):
    """The one line on standard error of a command that exits with `status`."""
    assert main(arguments) == status
    streams = capsys.readouterr()
    assert streams.out == ""
    line = only_line(streams.err)
    assert line.startswith("sluicegate: error: ")
    return line
