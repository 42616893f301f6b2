"""Public networks pruned: outputs of the gated network, fewer MACs, and files that are built without sluicegate."""

import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
import torch
from random_gatings import tell_images_apart
from random_nets import randomise_norms
from torch import nn

import sluicegate as sg
from sluicegate.cutting import save_pruned
from sluicegate.nets import build_net

SIZE = 32
NETS = [
    "resnet56",
    "torchvision:mobilenet_v2",
    "torchvision:densenet121",
    "torchvision:efficientnet_b0",
    "torchvision:resnext50_32x4d",
]
BUILD = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sluicegate", "sluicegate_runtime", "torchvision", "timm"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
import torch
from load_pruned import load_pruned

images, expected = torch.load(sys.argv[2])
made = load_pruned(sys.argv[3])(images)
print(float((made - expected).abs().max() / expected.abs().max()))
"""


def _example(images: int = 1) -> torch.Tensor:
    return torch.randn(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def _net(name: str) -> nn.Module:
    if name.startswith("torchvision"):
        pytest.importorskip("torchvision")
    torch.manual_seed(0)
    return randomise_norms(build_net(name))


def _blind(net: nn.Module) -> sg.GatedModel:
    """With data-independent gates at random, as after a training: of some layers few are open, of some many."""
    gated = sg.gate_model(net, sg.ChannelGating("all", head=sg.LearnedLogits), _example()).eval()
    for i, parameter in enumerate(gated.gate_parameters()):
        nn.init.normal_(parameter, (-1.0, 0.0, 1.5)[i % 3])
        with torch.no_grad():
            parameter[0] = 1.0  # a layer without channels would have constant outputs
    return gated


def _largest_gap(made: torch.Tensor, expected: torch.Tensor) -> float:
    return float((made - expected).abs().max() / expected.abs().max())


@pytest.mark.broad
@pytest.mark.parametrize("name", NETS)
def test_pruned_is_gated(name: str, tmp_path: Path) -> None:
    net = _net(name)
    gated, images = _blind(net), _example(2)
    plain = sg.prune(gated)
    with torch.no_grad():
        expected, gates = gated(images, return_gates=True)
        assert _largest_gap(plain(images), expected) < 1e-5
    counted, macs = int(gated.macs(gates)[0]), sg.MacModel(plain, _example()).dense
    assert macs < 0.8 * gated.macs.dense
    assert macs <= counted or "resnext" in name  # its groups are filled up to one size
    own = {key: tensor.shape for key, tensor in net.state_dict().items()}
    new = {key: tensor for key, tensor in plain.state_dict().items() if key not in own}
    assert all(key.endswith(".bias") or tensor.dtype == torch.int64 for key, tensor in new.items())
    _check_files(plain, images, expected, tmp_path)
    sg.export(plain, tmp_path / "plain.sluice", images)  # compares the engine with torch


def _trained(name: str) -> sg.GatedModel:
    """Data-independent gates as a short training with a target leaves them: some have settled open, some closed."""
    gated = sg.gate_model(_net(name), sg.ChannelGating("all", head=sg.LearnedLogits, initial_open_rate=0.6), _example())
    gates = list(gated.gate_parameters())
    network = [parameter for parameter in gated.parameters() if all(parameter is not gate for gate in gates)]
    optimizer = torch.optim.Adam([{"params": network, "lr": 1e-4}, {"params": gates, "lr": 0.3}])
    target, draw = sg.MacTarget(gated.macs, 0.5), torch.Generator().manual_seed(1)
    for step in range(8):
        images, labels = torch.randn(8, 3, SIZE, SIZE, generator=draw), torch.randint(10, (8,), generator=draw)
        output, records = gated(images, return_gates=True)
        loss = nn.functional.cross_entropy(output, labels) + 10 * target(records, step / 8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gated.eval()


@pytest.mark.broad
@pytest.mark.parametrize("name", ["densenet_bc100_k12", *(name for name in NETS if "densenet" not in name)])
def test_trained_gates_pruned(name: str) -> None:
    gated, images = _trained(name), _example(2)
    plain = sg.prune(gated)
    with torch.no_grad():
        expected, gates = gated(images, return_gates=True)
        assert _largest_gap(plain(images), expected) < 1e-5
    shares = [float(record.open.mean()) for record in gates.values()]
    assert 0 < sum(shares) / len(shares) < 1
    assert sg.MacModel(plain, _example()).dense < gated.macs.dense


def _check_files(plain: torch.fx.GraphModule, images: torch.Tensor, expected: torch.Tensor, folder: Path) -> None:
    """They are built in a process that cannot import sluicegate."""
    save_pruned(plain, folder / "pruned.safetensors", images)
    torch.save((images, expected), folder / "images.pt")
    reader = resources.files("sluicegate.cutting") / "load_pruned.py"
    (folder / "load_pruned.py").write_text(reader.read_text())
    files = [folder, folder / "images.pt", folder / "pruned.safetensors"]
    done = subprocess.run([sys.executable, "-c", BUILD, *map(str, files)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1e-5


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["resnet56", "torchvision:mobilenet_v2"])
def test_gates_that_look_at_images(name: str) -> None:
    gated = sg.gate_model(_net(name), sg.ChannelGating("all", initial_open_rate=0.5), _example()).eval()
    tell_images_apart(gated)
    images = _example(3)
    smaller = sg.prune_settled(gated, images)
    with torch.no_grad():
        (expected, before), (output, after) = gated(images, return_gates=True), smaller(images, return_gates=True)
    assert _largest_gap(output, expected) < 1e-5
    assert sum(s.gates for s in smaller.sites.values()) < sum(s.gates for s in gated.sites.values())
    assert (smaller.macs(after) < gated.macs(before)).all()


LAYERS: dict[str, Callable[[], sg.ChannelGating | sg.LayerGating | sg.JointGating]] = {
    "layer": lambda: sg.LayerGating(head=sg.LearnedLogits),
    "joint": lambda: sg.JointGating(head=sg.LearnedLogits),
    "all channels": lambda: sg.ChannelGating(head=sg.LearnedLogits),
    "ends": lambda: sg.ChannelGating("out", head=sg.LearnedLogits),
}


@pytest.mark.parametrize("case", LAYERS)
def test_closed_layers_are_gone(case: str) -> None:
    net = _net("resnet8")
    gated = sg.gate_model(net, LAYERS[case](), _example()).eval()
    for name, parameter in gated.named_parameters():
        if name.startswith("network.gates."):
            nn.init.constant_(parameter.view(-1, 2)[:, 1] if case == "layer" else parameter, 1.0)
            if "layer2" in name:
                nn.init.constant_(parameter.view(-1, 2)[:, 1] if case == "layer" else parameter, -1.0)
    plain, images = sg.prune(gated), _example(2)
    with torch.no_grad():
        assert _largest_gap(plain(images), gated(images)) < 1e-5
    assert not [name for name, _ in plain.named_parameters() if name.startswith("layer2.0.conv")]
    assert [name for name, _ in plain.named_parameters() if name.startswith("layer3.0.conv")]
