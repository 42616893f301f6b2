import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sluicegate.errors import InputError
from sluicegate.nets import build_net
from sluicegate.train import read_weights
from sluicegate.train.weights import load_weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".pt", STATE),
        (".pth", {"state_dict": STATE, "epoch": 3}),
        (".bin", {"model": {f"module.{name}": tensor for name, tensor in STATE.items()}}),
        (".ckpt", {"model_state_dict": STATE}),
        (".tar", {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}}),
    ],
)
def test_state_dicts_that_torch_saved_are_found_in_their_wrappings(suffix, content, tmp_path):
    path = tmp_path / f"weights{suffix}"
    torch.save(content, path)
    found = read_weights(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_a_network_is_filled_from_either_kind(tmp_path):
    net = nn.Sequential()
    net.add_module("a", nn.Linear(3, 2))
    torch.save(STATE, tmp_path / "one.pt")
    save_file(STATE, tmp_path / "two.safetensors")
    for name in ("one.pt", "two.safetensors"):
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        load_weights(net, tmp_path / name)
        assert torch.equal(net.get_parameter("a.weight"), STATE["a.weight"])


class Harmful:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], b"no pickle", None, Harmful()])
def test_what_holds_no_weights_is_one_line_and_runs_no_code(content, tmp_path, capsys):
    path = tmp_path / "weights.pt"
    if isinstance(content, Harmful):
        path.write_bytes(pickle.dumps(content))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(
        InputError, match=r"weights: '.*weights\.pt' (cannot be read as|holds no) (a )?state dict"
    ) as error:
        read_weights(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert "code was run" not in capsys.readouterr().out


def test_common_names_of_cifar_networks_are_known(tmp_path):
    net = build_net("resnet8", shortcut="B")
    state = {n.replace("linear.", "fc.").replace("shortcut", "downsample"): t for n, t in net.state_dict().items()}
    assert "fc.weight" in state and "layer2.0.downsample.0.weight" in state
    save_file(state, tmp_path / "common.safetensors")
    other = build_net("resnet8", shortcut="B")
    load_weights(other, tmp_path / "common.safetensors")
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in net.state_dict().items())
