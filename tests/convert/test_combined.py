"""Gates of several kinds in one network: channels, layers and exits; dense blocks with early exits."""

from pathlib import Path

import pytest
import torch
from agreement import close, file_agrees, reference_agrees
from slicing import SlicedRun
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.methods import Method, combined, early_exits
from sluicegate.nets import build_net
from sluicegate.train import MethodRecipe, build_method

MADE = {
    "all three": ("resnet8_x0.5", combined(hidden=8, batch_norm=True, classifier_channels=4)),
    "dense blocks": ("densenet_bc16_k4", early_exits(classifier_channels=4)),
    "the paper's gates": ("densenet_bc16_k4", early_exits(conv_head=True, classifier_channels=4)),
}


def _images(count: int = 24) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=MADE)
def gated(request: pytest.FixtureRequest) -> sg.GatedModel:
    """A network whose gates of all kinds decide one way for some images and the other way for others."""
    name, method = MADE[request.param]
    torch.manual_seed(0)
    net = build_net(name, **({"shortcut": "B"} if name.startswith("resnet") else {}))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, 0.5, 1.0)  # so that no channel is zero but by a gate
    assert method.gating is not None
    model = sg.gate_model(net, method.gating, _images(1)).eval()
    _even_out(model)
    return model


def _even_out(model: sg.GatedModel) -> None:
    """Shift each gate by its median over the images, that of the gates before it at their new places."""
    for gate in model.gates.values():
        outputs = [part for name, part in gate.head.named_modules() if name.startswith("outputs.")]
        for site, output in zip(gate.sites, outputs, strict=True):
            assert isinstance(output, nn.Linear)
            nn.init.normal_(output.weight, std=3 / output.in_features**0.5)
            with torch.no_grad():
                records = model(_images(), return_gates=True).gates
                between = records[site.name].logits.quantile(0.5, dim=0)  # of two images
                output.bias[len(output.bias) - len(between) :] -= between  # of two logits the second says "open"


@pytest.mark.cases(2)
def test_the_engine_and_numpy_decide_and_count_as_torch(gated: sg.GatedModel, tmp_path: Path) -> None:
    result = file_agrees(gated, _images(), tmp_path)
    for kind in {site.kind for site in gated.sites.values()}:
        rates = [result.gates[name].mean() for name, site in gated.sites.items() if site.kind == kind]
        assert 0 < sum(rates) < len(rates), kind
    reference_agrees(gated, _images())


@pytest.mark.cases(2)
def test_masked_is_cut_out(gated: sg.GatedModel) -> None:
    images = _images()
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
    sliced = SlicedRun(gated)
    for i, macs in list(enumerate(gated.macs(gates).tolist()))[:8]:
        assert close(sliced.run(images[i : i + 1], gates, i), output[i : i + 1])
        assert macs == sliced.macs or (sliced.in_doubt and macs > sliced.macs)


def _kinds(method: Method, net: str) -> dict[str, str]:
    assert method.gating is not None
    return {name: site.kind for name, site in sg.gate_model(build_net(net), method.gating, _images(1)).sites.items()}


def test_where_the_gates_are() -> None:
    assert _kinds(combined(), "resnet8") == {
        "layer1.0": "layer",
        "layer1.0.conv1": "channel",
        "layer1.exit": "exit",
        "layer2.0": "layer",
        "layer2.0.conv1": "channel",
        "layer2.exit": "exit",
        "layer3.0": "layer",
        "layer3.0.conv1": "channel",
    }
    exits = _kinds(early_exits(conv_head=True), "densenet_bc100_k12")
    assert exits == {"block1.exit": "exit", "block2.exit": "exit"}, "at the end of each dense block"


def test_the_objective_is_dlcgs_and_that_of_exits_and_shaping() -> None:
    method = combined(0.5, 0.25, exit_target=0.3, exit_weight=2.0, shaping=0.75)
    assert method.gating is not None and method.objective is not None
    gated = sg.gate_model(build_net("resnet8"), method.gating, _images(1))
    gated.strategy = sg.AlwaysOn()
    gates = gated(_images(), return_gates=True).gates
    shaped = sg.BatchShaping()(gates, 0.0)
    expected = 0.5 + 0.25 + 2.0 * 2 * 0.3**2 + 0.75 * shaped
    torch.testing.assert_close(method.objective(gated)(gates, 0.0), expected)


def _exit_logits(rate: float) -> torch.Tensor:
    torch.manual_seed(0)
    method = combined(exit_open_rate=rate, classifier_channels=4)
    assert method.gating is not None
    gated = sg.gate_model(build_net("resnet8"), method.gating, _images(1)).eval()
    return torch.cat([exit.logits for exit in gated(_images(), return_gates=True).gates.of_kind("exit").values()])


def test_exits_begin_at_the_rate_asked_for() -> None:
    further = torch.logit(torch.tensor(0.9)) - torch.logit(torch.tensor(0.6))
    torch.testing.assert_close(_exit_logits(0.9), _exit_logits(0.6) + further)


def test_without_noise_at_the_end_training_decides_as_evaluation_does() -> None:
    """So the share that leaves in training is the share that leaves afterwards."""
    torch.manual_seed(0)
    method = build_method(MethodRecipe("combined", {"noise": "linear(1, 0, 0, 0.7)", "classifier_channels": 4}))
    assert method.gating is not None
    model = sg.gate_model(build_net("resnet8_x0.5"), method.gating, _images(1)).eval()
    _even_out(model)
    for gate in model.gates.values():
        gate.training = True  # its head, with a batch norm, stays in evaluation
    images, decided = _images(), {}
    for progress in (0.0, 0.7):
        model.set_progress(progress)
        decided[progress] = torch.cat([r.open for r in model(images, return_gates=True).gates.values()], 1)
    model.eval()
    measured = torch.cat([r.open for r in model(images, return_gates=True).gates.values()], 1)
    assert torch.equal(decided[0.7], measured) and not torch.equal(decided[0.0], measured)
