"""GaterGating: the gates that GaterNet counts, the gater's work, its gradients, and what it refuses."""

import pytest
import torch
from torch import nn

import sluicegate as sg
from sluicegate.methods import gaternet
from sluicegate.nets import build_net


def _gated(net: nn.Module, size: int = 32, **options) -> sg.GatedModel:
    gating = gaternet(**options).gating
    assert gating is not None
    return sg.gate_model(net, gating, torch.zeros(1, 3, size, size))


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("name", "options", "filters", "plain", "gated"),
    [
        ("resnet20", {}, 336, 0.27e6, 0.55e6),
        ("resnet56", {}, 1008, 0.86e6, 1.14e6),
        ("preact_resnet164", {"thin": True}, 7200, 1.62e6, 1.96e6),
    ],
)
def test_filters_and_parameters_of_table_1(name, options, filters, plain, gated) -> None:
    net = build_net(name, **options)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(plain, abs=0.01e6)
    model = _gated(net)
    assert sum(site.gates for site in model.sites.values()) == filters
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(gated, abs=0.01e6)


def test_all_open_is_the_plain_network() -> None:
    net, images = build_net("resnet8").eval(), torch.randn(2, 3, 32, 32)
    gated = _gated(net).eval()
    gated.strategy = sg.AlwaysOn()
    assert torch.equal(gated(images), net(images))


def test_the_gater_costs_what_it_costs_alone_without_its_last_layer() -> None:
    net, gater = build_net("resnet8"), build_net("resnet14")
    gated = _gated(net, gater="resnet14", bottleneck=4).eval()
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(1, 3, 32, 32), return_gates=True)
    alone = sg.MacModel(gater, torch.zeros(1, 3, 32, 32)).dense - 64 * 10
    assert gated.macs.dense == sg.MacModel(net, torch.zeros(1, 3, 32, 32)).dense
    assert gated.macs(gates).tolist() == [gated.macs.dense + alone + 64 * 4 + 4 * (16 + 32 + 64)]


def test_sparsity_moves_the_gater_alone() -> None:
    method = gaternet(gater="resnet8")
    assert method.gating is not None and method.objective is not None
    gated = sg.gate_model(build_net("resnet8"), method.gating, torch.zeros(1, 3, 32, 32))
    _, gates = gated(torch.randn(8, 3, 32, 32), return_gates=True)
    method.objective(gated)(gates, 0.0).backward()
    assert all(p.grad is None for p in gated.network_parameters())
    assert all(p.grad is not None and p.grad.any() for name, p in gated.named_parameters() if "gater.conv1" in name)


def test_an_image_is_soft_or_hard_at_all_sites() -> None:
    gated = _gated(build_net("resnet8"), gater="resnet8", initial_open_rate=0.5)
    _, gates = gated(torch.randn(64, 3, 32, 32), return_gates=True)
    hard = torch.stack([((r.open == 0) | (r.open == 1)).all(1) for r in gates.values()])  # [sites, N]
    assert torch.equal(hard.all(0), hard.any(0))
    assert 8 < int(hard[0].sum()) < 56


def test_a_gater_without_a_last_linear_layer_is_refused() -> None:
    with pytest.raises(sg.InputError, match="gater: Sequential does not end in a linear layer"):
        sg.gate_model(
            build_net("resnet8"), sg.GaterGating(nn.Sequential(nn.Conv2d(3, 4, 3))), torch.zeros(1, 3, 32, 32)
        )
