"""Dense MACs of known networks, and what MacModel says beside its one figure."""

import operator

import pytest
import torch
import torchvision
from torch import nn

import sluicegate as sg
from sluicegate.costs import MacModel
from sluicegate.nets import build_net


@pytest.mark.parametrize(
    ("name", "size", "macs"),
    [
        ("resnet20", 32, 40_551_040),
        ("resnet56", 32, 125_485_696),
        ("torchvision:resnet34", 224, 3_663_761_408),
        ("torchvision:resnet50", 224, 4_089_184_256),
    ],
)
def test_dense_macs(name: str, size: int, macs: int) -> None:
    assert MacModel(build_net(name), torch.zeros(1, 3, size, size)).dense == macs


def test_modules_are_listed_by_kind() -> None:
    listed = MacModel(build_net("resnet20"), torch.zeros(1, 3, 32, 32)).by_module()
    assert listed["conv1"] == ("conv", 16 * 3 * 9 * 32 * 32)
    assert listed["linear"] == ("linear", 64 * 10)
    assert listed["bn1"] == ("norm", 16 * 32 * 32)
    assert sum(m.dense for m in listed.values() if m.kind in ("conv", "linear")) == 40_551_040
    assert {m.kind for m in listed.values()} == {"conv", "linear", "norm", "pool", "add"}


def test_heads_of_resnet20_cost_what_dlcg_says_without_their_pooling() -> None:
    """'We also include the overhead of the gating modules (less than 0.03 %)'."""
    gated = sg.gate_model(build_net("resnet20"), sg.JointGating(), torch.zeros(1, 3, 32, 32))
    heads = {name: m.dense for name, m in gated.macs.by_module().items() if m.kind == "gate"}
    pooling = sum(macs for name, macs in heads.items() if name.endswith(".pool"))
    assert pooling == 16 * 1024 * 4 + 32 * 256 * 3 + 64 * 64 * 2
    assert 0.0002 < (sum(heads.values()) - pooling) / gated.macs.dense < 0.0003


def test_a_memory_costs_two_more_layers() -> None:
    gating = sg.ChannelGating(head=sg.MemoryHead, estimator=sg.GumbelSoftmax())
    gated = sg.gate_model(build_net("resnet8"), gating, torch.zeros(1, 3, 32, 32))
    heads = {name: m.dense for name, m in gated.macs.by_module().items() if m.kind == "gate"}
    first, second = (heads[f"gates.layer2_0_conv1.head.{part}"] for part in ("first.outputs.0", "hidden"))
    assert first == second == 2 * 32 * 16  # both logits of a gate, to and from the first look
    assert heads["gates.layer2_0_conv1.head.outputs.0"] == 32 * 16


def test_macs_are_exact_integers_in_evaluation_and_differentiable_in_training() -> None:
    gated = sg.gate_model(torchvision.models.resnet18(), sg.ChannelGating(), torch.zeros(1, 3, 64, 64))
    images = torch.randn(2, 3, 64, 64)
    _, gates = gated.train()(images, return_gates=True)
    assert gated.macs(gates).requires_grad
    _, gates = gated.eval()(images, return_gates=True)
    assert gated.macs(gates).dtype == torch.int64


def test_gradient_is_the_saving_of_one_channel() -> None:
    """d MACs / d open of a channel of layer1.0.conv1: one filter of it, and one slice of conv2's."""
    gated = sg.gate_model(build_net("resnet8"), sg.ChannelGating(), torch.zeros(1, 3, 32, 32)).double()
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(1, 3, 32, 32, dtype=torch.float64), return_gates=True)
    is_open = {name: record.open.detach().requires_grad_() for name, record in gates.items()}
    records = sg.GateRecords({name: record._replace(open=is_open[name]) for name, record in gates.items()})
    (grad,) = torch.autograd.grad(gated.macs(records).sum(), is_open["layer1.0.conv1"])
    assert grad[0].tolist() == [2 * 16 * 9 * 32 * 32] * 16


def test_macs_by_module_sum_to_macs() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(initial_open_rate=0.5), torch.zeros(1, 3, 32, 32))
    with torch.no_grad():
        _, gates = gated(torch.randn(5, 3, 32, 32), return_gates=True)
    by_module = gated.macs.macs_by_module(gates)
    assert torch.equal(torch.stack(list(by_module.values())).sum(0), gated.macs(gates))
    assert by_module["conv1"].tolist() == [16 * 3 * 9 * 32 * 32] * 5


def test_other_weights_have_formulas_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 8, 2, stride=2)
            self.filters = nn.Parameter(torch.zeros(4, 4, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.conv2d(self.up(x), self.filters, padding=1, groups=2)
            flat = x.flatten(2)
            return torch.matmul(flat.transpose(1, 2), flat)

    listed = MacModel(Net(), torch.zeros(2, 3, 5, 5)).by_module()
    assert listed["up"] == ("conv", 3 * 8 * 4 * 25)
    assert listed["conv2d"] == ("conv", 8 * 4 // 2 * 9 * 100)
    assert listed["matmul"] == ("matmul", 100 * 100 * 4)


def test_a_weight_without_a_formula_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Bilinear(4, 4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.mix(x, x)

    with pytest.raises(sg.InputError, match=r"net: no MAC formula for 'mix': .*Bilinear is no op that is known"):
        MacModel(Net(), torch.zeros(1, 4))


@pytest.mark.parametrize(
    "product",
    [operator.matmul, torch.matmul, torch.mm, lambda x, y: x.mm(y), lambda x, y: x.matmul(y)],
    ids=["@", "torch.matmul", "torch.mm", ".mm", ".matmul"],
)
def test_every_spelling_of_a_product_counts(product) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(7, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return product(x, self.weight)

    (found,) = (macs for kind, macs in MacModel(Net(), torch.zeros(1, 7)).by_module().values() if kind == "matmul")
    assert found == 7 * 3


def test_a_product_without_a_formula_is_refused() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, x[:1])

    with pytest.raises(
        sg.InputError, match=r"net: no MAC formula for 'cdist': cdist is used in a way that no op covers"
    ):
        MacModel(Net(), torch.zeros(1, 4))


def test_missing_records_are_refused() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.ChannelGating(), torch.zeros(1, 3, 32, 32))
    _, gates = gated(torch.randn(1, 3, 32, 32), return_gates=True)
    with pytest.raises(sg.InputError, match="gates: no records"):
        gated.macs(sg.GateRecords())
    del gates["layer2.0.conv1"]
    with pytest.raises(sg.InputError, match=r"gates: no record for site 'layer2\.0\.conv1'"):
        gated.macs(gates)


def test_resnet50_as_the_papers_count_it() -> None:
    """He et al. have the stride in a block's first convolution, torchvision in the second: 3.86 and 4.09 G.

    Of stochastic gates' pruned networks (its supplement's "Ind PB"), each of which lacks one block more than the one
    before, the MACs differ by those of a block.
    """
    net = MacModel(build_net("torchvision:resnet50"), torch.zeros(1, 3, 224, 224))
    listed = {name: m.dense for name, m in net.by_module().items() if m.kind in ("conv", "linear")}
    first = sum(listed[f"layer{stage}.0.conv1"] for stage in (2, 3, 4))
    assert net.dense - first * 3 // 4 == 3_857_973_248
    block = sum(listed[f"layer2.1.conv{i}"] for i in (1, 2, 3))
    assert 2_932_012_776 - 2_713_646_824 == 2_713_646_824 - 2_495_280_872 == block
