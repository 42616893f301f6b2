"""Lowering against the reference interpreter and the engine: outputs, every gate, every MAC."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import timm
import torch
import torchvision
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from random_nets import Residual, random_chain, random_residual_net, randomise_norms
from torch import nn

import sluicegate as sg
from sluicegate.convert import Gating, exit_classifier
from sluicegate.gates import Strategy
from sluicegate.lowering import export, lower
from sluicegate.nets import build_net
from sluicegate_runtime import Preprocessing, Program, Session, load_program, run_reference, without_gates

GATINGS = {
    "channel": sg.ChannelGating(initial_open_rate=0.5),
    "pairs": sg.ChannelGating(granularity=2, estimator=sg.GumbelSoftmax(), initial_open_rate=0.5),
    "layer": sg.LayerGating(initial_open_rate=0.5),
    "joint": sg.JointGating(initial_open_rate=0.5),
    "pruned": sg.ChannelGating(head=sg.LearnedLogits, estimator=sg.GumbelSoftmax(), initial_open_rate=0.5),
    "boosted": sg.ChannelGating(["mid", "out"], 2, estimator=sg.TopK(0.4, boost=True), head=sg.SaliencyHead),
    "memory": sg.ChannelGating(estimator=sg.GumbelSoftmax(), head=sg.MemoryHead, initial_open_rate=0.5),
    "locked": sg.SharedGating(sg.ChannelGating(at=["inp", "mid", "out"], initial_open_rate=0.5)),
    "outputs": sg.ChannelGating(at="out", initial_open_rate=0.5),
    "inputs": sg.ChannelGating(at="inp", initial_open_rate=0.5),
    "gater": sg.GaterGating(build_net("resnet8"), at=["out", "mid"], initial_open_rate=0.5),
    "everywhere": sg.JointGating(sg.ChannelGating(at=["inp", "mid", "out"]), initial_open_rate=0.5),
}


def _check(net: nn.Module, gating: Gating | list[Gating], size: int, images: int) -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(randomise_norms(net), gating, torch.zeros(1, 3, size, size)).eval()
    _mix_free_logits(gated)
    x = torch.randn(images, 3, size, size)
    _divide_at_exits(gated, x)
    with torch.no_grad():
        output, gates = gated(x, return_gates=True)
    lowered = lower(gated)
    reference = run_reference(Program.from_json(lowered.program.to_json()), lowered.tensors, x.numpy())
    engine = Session(lowered.artifact).run(x.numpy())
    for result, tolerance in ((reference, 1e-5), (engine, 1e-4)):  # the engine's 3x3 layers may run by Winograd
        np.testing.assert_allclose(result.output, output.numpy(), rtol=0, atol=tolerance * float(output.abs().max()))
        assert result.macs.tolist() == gated.macs(gates).tolist()
        decided = gates.reached()
        assert all(np.array_equal(result.gates[name], record.open.bool().numpy()) for name, record in decided.items())
        assert result.exits.tolist() == [_exit(gates, i) for i in range(images)]


def _exit(gates: sg.GateRecords, image: int) -> int:
    """The number of the first exit that is closed for an image, or -1."""
    opens = [record.open[image, 0].item() for record in gates.of_kind("exit").values()]
    return opens.index(0) if 0 in opens else -1


def _divide_at_exits(gated: sg.GatedModel, x: torch.Tensor) -> None:
    """Let some images leave at each exit and others stay: its threshold moves into the widest gap between them."""
    gates = gated(x, return_gates=True).gates.of_kind("exit")
    for gate in gated.gates.values():
        if gate.sites[0].name in gates:
            logits = gates[gate.sites[0].name].logits.detach().flatten().sort().values
            widest = logits.diff().argmax()
            output = gate.head.outputs[0]
            assert isinstance(output, nn.Linear)
            output.bias.data[-1] -= (logits[widest] + logits[widest + 1]) / 2


def pooled_chain() -> nn.Sequential:
    """Three convolutions, each but the last before a pool."""
    layers = [
        part
        for inputs, outputs in ((3, 8), (8, 12), (12, 16))
        for part in (nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))
    ]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))


def pooled_classifier(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Computed(nn.Module):
    """A network that is one function."""

    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(x)


class TwoInputs(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return x.relu()


def _mix_free_logits(gated: sg.GatedModel) -> None:
    """Logits that start out alike are drawn at random, so that some gates are open and some closed."""
    for gate in gated.gates.values():
        if isinstance(gate.head, sg.LearnedLogits):
            for parameter in gate.parameters():
                nn.init.normal_(parameter)


@examples(10)
@given(seed=st.integers(0, 2**20), gating=st.sampled_from(sorted(GATINGS)))
def test_random_residual_nets(seed: int, gating: str) -> None:
    _check(random_residual_net(seed), GATINGS[gating], 12, 2)


@examples(5)
@given(seed=st.integers(0, 2**20))
def test_random_chains(seed: int) -> None:
    _check(random_chain(seed), sg.ChannelGating(at="all", initial_open_rate=0.5), 12, 2)


@pytest.mark.broad
@examples(6)
@given(seed=st.integers(0, 2**20), gating=st.sampled_from(sorted(GATINGS)))
def test_exits_behind_random_blocks(seed: int, gating: str) -> None:
    net = random_residual_net(seed)
    blocks = [name for name, module in net.named_children() if isinstance(module, Residual)]
    exits = sg.ExitGating(blocks, classifier=partial(exit_classifier, hidden=8))
    _check(net, [GATINGS[gating], exits], 12, 4)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("build", "gating", "size"),
    [
        (lambda: build_net("resnet8"), sg.RecurrentGating(initial_open_rate=0.5), 32),
        (lambda: build_net("preact_resnet11"), GATINGS["joint"], 32),
        (torchvision.models.densenet121, sg.ChannelGating("all", initial_open_rate=0.5), 64),
        (lambda: pooled_chain(), sg.ChannelGating("all", initial_open_rate=0.5), 32),
        (torchvision.models.mobilenet_v2, GATINGS["joint"], 128),
    ],
    ids=("recurrent", "pre-activation", "densenet", "chain", "mobilenet_v2"),
)
def test_exits_at_stages(build, gating: Gating, size: int) -> None:
    _check(build(), [gating, sg.ExitGating(head="conv")], size, 3)


@pytest.mark.cases(1)
@pytest.mark.parametrize("layers", [False, True])
def test_what_several_heads_read_is_averaged_once(layers: bool) -> None:
    """Where one of them decides whether the others look at all, it has done so first."""
    gatings: list[Gating] = [sg.LayerGating(initial_open_rate=0.5)] if layers else []
    gatings.append(sg.ChannelGating(["inp", "mid", "out"], initial_open_rate=0.5))
    gated = sg.gate_model(build_net("resnet8"), gatings, torch.zeros(1, 3, 32, 32)).eval()
    program = lower(gated).program
    assert sum(op.kind == "global_pool" for op in program.ops) == 3 + 1  # branches, classifier
    assert sum(name.endswith(".pool") for name in gated.macs.by_module()) == 3
    _check(build_net("resnet8"), gatings, 32, 6)


@pytest.mark.broad
def test_values_and_their_sizes_are_averaged_apart() -> None:
    sizes = sg.ChannelGating("mid", head=sg.SaliencyHead, estimator=sg.TopK(0.5))
    gatings: list[Gating] = [sizes, sg.ChannelGating(["out", "inp"], initial_open_rate=0.5)]
    gated = sg.gate_model(build_net("resnet8"), gatings, torch.zeros(1, 3, 32, 32)).eval()
    assert sum(op.kind == "global_pool" for op in lower(gated).program.ops) == 3 * 2 + 1
    _check(build_net("resnet8"), gatings, 32, 6)


def test_two_exits_at_one_place() -> None:
    """The same value by two of its names."""
    _check(build_net("resnet8"), sg.ExitGating(["layer1", "layer1.0"]), 32, 6)


def test_exits_are_no_part_of_the_program_without_gates() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.ExitGating(initial_open_rate=0.1), torch.zeros(1, 3, 32, 32)).eval()
    images = torch.randn(3, 3, 32, 32)
    program = lower(gated).artifact
    assert (Session(program).run(images.numpy()).exits == 0).all()
    result = Session(without_gates(program)).run(images.numpy())
    gated.strategy = sg.AlwaysOn()
    with torch.no_grad():
        np.testing.assert_allclose(result.output, gated(images).numpy(), atol=1e-5)
    assert result.macs.tolist() == [gated.macs.dense] * 3


@pytest.mark.parametrize("make", [exit_classifier, pooled_classifier])
def test_an_exit_behind_a_channel_gate(make) -> None:
    """It sees the open channels alone."""
    gating = sg.ChannelGating("all", initial_open_rate=0.5)
    _check(pooled_chain(), [gating, sg.ExitGating(["3", "7"], classifier=make)], 16, 6)


@pytest.mark.parametrize("head", [sg.PooledHead, sg.LearnedLogits])
def test_gates_kept_open(head) -> None:
    gating = sg.ChannelGating("all", head=head, initial_open_rate=0.1, keep_open=2)
    _check(random_chain(1), gating, 12, 3)
    gated = sg.gate_model(random_chain(1), gating, torch.zeros(1, 3, 12, 12))
    for training in (True, False):
        _, gates = gated.train(training)(torch.randn(8, 3, 12, 12), return_gates=True)
        assert all(record.open[:, :2].min() == 1 and record.open[:, 2:].min() == 0 for record in gates.values())


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: build_net("resnet20"), 32),
        (lambda: build_net("resnet20", shortcut="B"), 32),
        (torchvision.models.resnet18, 64),
        (torchvision.models.resnet50, 64),
        (torchvision.models.mobilenet_v2, 64),
        (lambda: build_net("preact_resnet29"), 32),
        (lambda: timm.create_model("resnet26d"), 64),
        (lambda: timm.create_model("resnet33ts"), 64),
    ],
    ids=("cifar-A", "cifar-B", "resnet18", "resnet50", "mobilenet_v2", "pre-activation", "timm-d", "timm-normact"),
)
def test_known_networks(build, size: int) -> None:
    _check(build(), GATINGS["joint"], size, 1)


@pytest.mark.cases(1)
@pytest.mark.parametrize("net", ["resnet20", "preact_resnet29", "torchvision:resnet18"])
def test_gates_that_share_a_state(net: str) -> None:
    _check(build_net(net), sg.RecurrentGating(initial_open_rate=0.5), 32, 4)


def test_gates_that_identical_layers_share() -> None:
    _check(build_net("resnet14"), GATINGS["locked"], 32, 4)


@pytest.mark.parametrize(
    "build", [lambda: build_net("resnet8"), torchvision.models.densenet121], ids=("resnet8", "densenet")
)
def test_a_plain_network_lowers_too(build) -> None:
    torch.manual_seed(0)
    net = randomise_norms(build()).eval()
    images = torch.randn(2, 3, 32, 32)
    result = Session(lower(net, images[:1]).artifact).run(images.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(result.output, net(images).numpy(), atol=1e-5)
    assert result.macs.tolist() == [sg.MacModel(net, images[:1]).dense] * 2


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(2)),
            "'1' cannot be exported: .*LocalResponseNorm is no op",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3, padding_mode="reflect", padding=1)),
            "'0' cannot .*: Conv2d is used in a way",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
            "'1' cannot .*: BatchNorm2d is used in a way",
        ),
        (nn.Sequential(nn.Upsample(scale_factor=1.3, mode="bilinear")), "'0' cannot .*: Upsample is used in a way"),
        (Computed(lambda x: torch.lerp(x, x.relu(), 0.5)), "'lerp' cannot .*: lerp is used in a way"),
        (Computed(lambda x: x * x.var(1, keepdim=True)), "'var' cannot .*: var is used in a way"),
        (Computed(lambda x: x.mean((1, 2))), "'mean' cannot .*: mean is used in a way"),
        (Computed(lambda x: x.mean(-1)), r"it returns \(N, 3, 8\) as 'output'"),
        (Computed(lambda x: x.mean((2, 3)).view(-1, 3, 1)), r"it returns \(N, 3, 1\) as 'output'"),
        (Computed(lambda x: x.flatten(2)), r"it returns \(N, 3, 64\) as 'output'"),
        (TwoInputs(), r"it takes 2 inputs \(x, mask\)"),
    ],
    ids=lambda what: what if isinstance(what, str) else "",
)
def test_what_the_engine_cannot_run_is_refused(net: nn.Module, message: str) -> None:
    with pytest.raises(sg.InputError, match=message) as error:
        lower(net.eval(), torch.zeros(1, 3, 8, 8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: torch.add(x, x.relu()),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean((-1, -2)),
        lambda x: x.mean(dim=[2, 3]).view(-1, 3),
        lambda x: x.reshape(-1, 192),
        nn.Upsample(scale_factor=1.5, mode="bilinear"),
        nn.Upsample(scale_factor=1.3, mode="bilinear", align_corners=True),
        nn.Upsample(size=(11, 5), mode="bilinear"),
    ],
)
def test_ops_that_the_engine_knows_in_one_form_only(compute) -> None:
    net, images = Computed(compute), torch.randn(2, 3, 8, 8)
    lowered = lower(net, images[:1])
    for result in (
        run_reference(lowered.program, lowered.tensors, images.numpy()),
        Session(lowered.artifact).run(images.numpy()),
    ):
        np.testing.assert_allclose(result.output, net(images).numpy(), atol=1e-5)


@pytest.mark.parametrize("gating", [GATINGS["joint"], sg.RecurrentGating(initial_open_rate=0.5)], ids=("joint", "lstm"))
def test_a_file_decides_as_its_network_was_set_to(gating: Gating) -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(build_net("resnet14"), gating, torch.zeros(1, 3, 32, 32)).eval()
    images = torch.randn(4, 3, 32, 32)
    at_half = Session(lower(gated).artifact).run(images.numpy())
    with torch.no_grad():
        logits = torch.cat([record.logits.flatten() for record in gated(images, return_gates=True).gates.values()])
    gated.strategy = sg.Threshold(float(logits.quantile(0.6).sigmoid()))
    gates = gated(images, return_gates=True).gates
    lowered = lower(gated)
    reference = run_reference(lowered.program, lowered.tensors, images.numpy())
    for result in (Session(lowered.artifact).run(images.numpy()), reference):
        assert result.macs.tolist() == gated.macs(gates).tolist()
        assert result.macs.sum() < at_half.macs.sum()


@pytest.mark.parametrize("strategy", [sg.Stochastic(), sg.AlwaysOn(), sg.Ensemble(3)], ids=str)
def test_what_is_no_threshold_is_not_exported(strategy: Strategy) -> None:
    gated = sg.gate_model(build_net("resnet8"), GATINGS["joint"], torch.zeros(1, 3, 32, 32)).eval()
    gated.strategy = strategy
    with pytest.raises(sg.InputError, match=r"strategy: \w+\(.*\) cannot be exported; the engine's gates decide by"):
        lower(gated)


def test_a_file_carries_preprocessing_and_classes(tmp_path) -> None:
    gated = sg.gate_model(build_net("resnet8"), GATINGS["joint"], torch.zeros(1, 3, 32, 32)).eval()
    preprocessing = Preprocessing(resize=32, crop=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    classes = tuple("abcdefghij")
    path = export(gated, tmp_path / "net.sluice", preprocessing=preprocessing, classes=classes)
    program = load_program(path).program
    assert (program.preprocessing, program.classes) == (preprocessing, classes)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(Session(path).run(images.numpy()).output, gated(images).numpy(), atol=1e-4)
