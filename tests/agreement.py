"""A network, gated and as a file, must be the network: right, or refused in one line.

Legend: N images, C channels, H W pixels.

The network itself, run by torch as its author wrote it, is what everything is compared with.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.convert import Gating
from sluicegate.gates import Gate, Head
from sluicegate.lowering import lower
from sluicegate_runtime import Result, Session, load_program

TOLERANCE = 1e-4
"""Of the largest number: float32 sums in another order, through a few layers."""


def close(made: Any, expected: Any) -> bool:
    """Whether two arrays are the same but for rounding."""
    made, expected = np.asarray(made), np.asarray(expected)
    largest = max(float(np.abs(expected).max(initial=0)), 1e-6)
    return made.shape == expected.shape and float(np.abs(made - expected).max(initial=0)) <= TOLERANCE * largest


def run(net: nn.Module, x: Tensor) -> Any:
    """What a network in its present mode makes of copies of the images, so that nothing is written into x."""
    with torch.no_grad():
        return net(x.clone())


def gated_like(net: nn.Module, gating: Gating | list[Gating], x: Tensor) -> sg.GatedModel:
    """The gated network; all open, it must be the network, in training and in evaluation.

    Heads then get large weights, so that about half of the gates close, others for each image.
    """
    gated = sg.gate_model(net, gating, x[:1])
    for training in (True, False):
        plain = copy.deepcopy(net).train(training)
        gated.train(training)
        gated.strategy = sg.AlwaysOn()
        _same(run(copy.deepcopy(gated), x), run(plain, x))
    gated.strategy = sg.Threshold(0.5)
    for gate in gated.gates.values():
        _divide(gate)
    return gated.eval()


def _divide(gate: Gate) -> None:
    torch.manual_seed(1)
    head: Head = gate.head
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=3 / layer.in_features**0.5)


def file_agrees(net: nn.Module, x: Tensor, folder: Path) -> Result:
    """Export a network; the engine must compute what torch does, gate by gate and MAC by MAC."""
    example = None if isinstance(net, sg.GatedModel) else x[:1]
    result = Session(sg.export(net, folder / "net.sluice", example), threads=1).run(x.numpy())
    if isinstance(net, sg.GatedModel):
        output, gates = _returned(net, x)
        assert result.macs.tolist() == net.macs(gates).tolist()
        for name, record in gates.reached().items():
            assert np.array_equal(result.gates[name], record.open.bool().numpy()), name
    else:
        output = run(copy.deepcopy(net).eval(), x)
    _same(list(result.outputs.values()), _tensors(output))
    return result


def reference_agrees(gated: sg.GatedModel, x: Tensor) -> None:
    """The NumPy definition must compute what torch does, too."""
    result = Session(lower(gated).artifact, engine="reference").run(x.numpy())
    output, gates = _returned(gated, x)
    assert result.macs.tolist() == gated.macs(gates).tolist()
    _same(list(result.outputs.values()), _tensors(output))


def agrees(net: nn.Module, x: Tensor, folder: Path, gating: Gating | list[Gating]) -> sg.GatedModel:
    """Plain and gated, in torch and as files, a network is what its author wrote."""
    file_agrees(copy.deepcopy(net).eval(), x, folder)
    gated = gated_like(net, gating, x)
    file_agrees(gated, x, folder)
    return gated


def refused(net: nn.Module, x: Tensor, folder: Path, gating: Gating | list[Gating] | None = None) -> str:
    """The line with which the export of a network, plain or gated, is refused; nothing is written."""
    path = folder / "refused.sluice"
    with pytest.raises(sg.InputError) as caught:
        sg.export(net if gating is None else sg.gate_model(net, gating, x[:1]), path, x[:1])
    assert not path.exists()
    return one_line(caught.value)


def one_line(error: Exception) -> str:
    """The text of an error, which is one line."""
    text = str(error)
    assert "\n" not in text and text
    return text


def same_as_file(program: Path, of: sg.GatedModel) -> bool:
    """Whether a file holds the program of a network."""
    return load_program(program).program.to_json() == lower(of).program.to_json()


def _returned(gated: sg.GatedModel, x: Tensor) -> tuple[Any, sg.GateRecords]:
    with torch.no_grad():
        output, gates = gated(x.clone(), return_gates=True)
    return output, gates


def _same(made: Any, expected: Any) -> None:
    for one, other in zip(_tensors(made), _tensors(expected), strict=True):
        assert close(one, other), f"{np.abs(np.asarray(one) - np.asarray(other)).max()} off"


def _tensors(returned: Any) -> list[Any]:
    if isinstance(returned, Mapping):
        return list(returned.values())
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]
