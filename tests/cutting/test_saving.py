"""Files of pruned networks: what is refused. That they are built alike stands in test_public_nets.py."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import sluicegate as sg
from sluicegate.cutting import save_pruned
from sluicegate.cutting.load_pruned import build
from sluicegate.cutting.saving import describe

EXAMPLE = torch.zeros(1, 3, 8, 8)


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class _Net(nn.Module):
    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), last

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.last(self.conv(x) + 1.0), 1)


class _Whole(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _graph(last: nn.Module) -> fx.GraphModule:
    net = _Net(last).eval()
    return fx.GraphModule(net, _Whole().trace(net))


def test_layers_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sg.InputError, match=r"'last' is .*_Doubled, which is no layer of torch.nn"):
        save_pruned(_graph(_Doubled()), tmp_path / "net.safetensors", EXAMPLE)
    with pytest.raises(sg.InputError, match=r"must end in \.safetensors"):
        save_pruned(_graph(nn.ReLU()), tmp_path / "net.pt", EXAMPLE)
    assert not list(tmp_path.iterdir())


def test_what_would_be_built_otherwise_is_refused(tmp_path: Path) -> None:
    net = _graph(nn.LeakyReLU(0.2))
    conv = net.conv
    assert isinstance(conv, nn.Conv2d)
    conv.padding_mode, conv.padding = "circular", (1, 1)  # pads as the constructor was told, and is built otherwise
    with pytest.raises(sg.InputError, match=r"description"):
        save_pruned(net, tmp_path / "net.safetensors", EXAMPLE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "target", ["os.system", "operator.attrgetter", "torch.load", "torch.hub.load", "torch.nn.Module"]
)
def test_functions_that_are_no_ops_are_refused(target: str) -> None:
    net = _graph(nn.ReLU())
    found: dict[str, Any] = {**describe(net), "format": 1}
    row = next(row for row in found["nodes"] if row["target"] == "torch.flatten")
    row["target"] = target
    with pytest.raises(ValueError, match="no op of torch"):
        build(found, net.state_dict())


def test_ops_on_no_value_are_refused() -> None:
    net = _graph(nn.ReLU())
    found: dict[str, Any] = {**describe(net), "format": 1}
    row = next(row for row in found["nodes"] if row["target"] == "torch.flatten")
    row |= {"target": "torch.from_file", "args": {"tuple": ["/tmp/file", True, 8]}}
    with pytest.raises(ValueError, match="no op of torch"):
        build(found, net.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.update(format=2), "format 2 is not 1"),
        (lambda found: found["modules"]["last"].update({"class": "functional"}), "no layer of torch.nn"),
        (lambda found: found["nodes"][1].update(op="call_method", target="__class__"), "no method of tensors"),
    ],
)
def test_damaged_descriptions(change, message: str) -> None:
    net = _graph(nn.ReLU())
    found: dict[str, Any] = {**describe(net), "format": 1}
    change(found)
    with pytest.raises(ValueError, match=message):
        build(found, net.state_dict())
