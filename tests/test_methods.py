"""Presets: the parts that each composes."""

import pytest
import torch

import sluicegate as sg
from sluicegate.gates import StraightThroughPolicy
from sluicegate.methods import (
    batch_shaping,
    channel_only,
    convnet_aig,
    dense,
    dlcg,
    early_exits,
    fbs,
    gaternet,
    skipnet,
    stochastic_gates,
)
from sluicegate.nets import build_net
from sluicegate.objectives import WeightedSum
from sluicegate.schedule import linear

IMAGES = torch.zeros(1, 3, 32, 32)


def _gated(method) -> sg.GatedModel:
    assert method.gating is not None
    return sg.gate_model(build_net("resnet20"), method.gating, IMAGES)


def test_dense_has_no_gates() -> None:
    assert dense().gating is dense().objective is None


def test_dlcg_has_one_joint_head_a_block_without_batch_norm() -> None:
    gated = _gated(dlcg())
    assert len(gated.gates) == 9 and len(gated.sites) == 18
    for gate in gated.gates.values():
        assert [site.kind for site in gate.sites] == ["layer", "channel"]
        assert isinstance(gate.head, sg.PooledHead) and gate.head.hidden.out_features == 16
        assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in gate.modules())
    assert sum(site.gates for site in gated.sites.values() if site.kind == "channel") == 336


def test_dlcg_weighs_layers_and_channels_as_eq_6() -> None:
    method = dlcg(layer_weight=0.5, channel_weight=0.25, reduction="sum")
    gated = _gated(method)
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert method.objective is not None
    assert method.objective(gated)(gates, 0.0).item() == 0.5 * 9 + 0.25 * 336


def test_channel_only_has_no_layer_gates() -> None:
    assert {site.kind for site in _gated(channel_only()).sites.values()} == {"channel"}


def test_aig_pulls_each_layer_to_its_target() -> None:
    method = convnet_aig(target=0.5, targets={"layer1.0": 1.0})
    gated = _gated(method)
    assert {site.kind for site in gated.sites.values()} == {"layer"}
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert method.objective is not None
    assert method.objective(gated)(gates, 0.0).item() == 8 * 0.25


@pytest.mark.cases(1)
@pytest.mark.parametrize("estimator", ["bin_concrete", "gumbel_softmax", "straight_through"])
def test_estimators_by_name(estimator) -> None:
    _, gates = _gated(dlcg(estimator=estimator))(torch.randn(4, 3, 32, 32), return_gates=True)
    assert all(set(r.open.unique().tolist()) <= {0.0, 1.0} for r in gates.values())


def test_batch_shaping_fades_and_then_presses() -> None:
    method = batch_shaping()
    gated = _gated(method)
    assert method.objective is not None
    objective = method.objective(gated)
    assert isinstance(objective, WeightedSum)
    weights = {name: [weight(epoch / 500) for epoch in (0, 50, 100, 200, 300, 500)]
               for name, weight in objective.weights.items()}  # fmt: skip
    assert weights["shaping"] == pytest.approx([0.75, 0.375, 0, 0, 0, 0])
    assert weights["l0"] == pytest.approx([0, 0, 0, 0.025, 0.05, 0.05])
    assert sum(site.gates for site in gated.sites.values()) == 336


def test_stochastic_gates_stand_at_three_places_and_prune_without_looking() -> None:
    gated = _gated(stochastic_gates(conditional=False))
    assert len(gated.sites) == 3 * 9
    assert sum(site.gates for name, site in gated.sites.items() if name.endswith("conv2")) == 336
    gated.eval()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert all((record.logits == record.logits[:1]).all() for record in gates.values())
    heads = sum(macs.dense for macs in gated.macs.by_module().values() if macs.kind == "gate")
    assert heads == 0


def test_stochastic_gates_may_remember_or_be_locked() -> None:
    for gate in _gated(stochastic_gates(memory=True)).gates.values():
        assert isinstance(gate.head, sg.MemoryHead)
    assert len(_gated(stochastic_gates(locked=True, conditional=False)).sites) == 3 * 5
    with pytest.raises(sg.InputError, match="memory: True, but conditional is False"):
        stochastic_gates(memory=True, conditional=False)


def test_stochastic_gates_keep_one_open_where_no_shortcut_leads_round() -> None:
    chain = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    method = stochastic_gates(at="all", conditional=False, granularity=2, initial_open_rate=0.01)
    assert method.gating is not None
    _, gates = sg.gate_model(chain, method.gating, IMAGES).eval()(IMAGES, return_gates=True)
    assert gates["0"].open.tolist() == [[1, 0, 0, 0]]


@pytest.mark.broad
def test_early_exits_ask_for_no_more_than_their_share() -> None:
    method = early_exits(target=0.5, targets={"layer2.exit": 0.25}, weight=2.0)
    gated = _gated(method)
    assert list(gated.sites) == ["layer1.exit", "layer2.exit"]
    assert method.objective is not None
    objective = method.objective(gated)
    _, gates = gated(torch.randn(8, 3, 32, 32), return_gates=True)
    for first, second, loss in ((1, 1, 2 * (0.5**2 + 0.25**2)), (0, 0, 2 * 0.25**2), (1, 0, 2 * 0.5**2)):
        opens = {"layer1.exit": first, "layer2.exit": second}
        decided = {name: r._replace(open=torch.full((8, 1), float(opens[name]))) for name, r in gates.items()}
        assert objective(sg.GateRecords(decided), 0.0).item() == loss
    for gate in _gated(early_exits(conv_head=True)).gates.values():
        assert isinstance(gate.head, sg.ConvHead) and gate.head.first.out_channels == 128


def test_fbs_keeps_the_same_share_for_every_image() -> None:
    gated = _gated(fbs(share=0.25)).eval()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert all((record.open.mean(1) == 0.25).all() for record in gates.values())


def test_gaternet_gates_the_end_of_every_block_by_one_head() -> None:
    method = gaternet(l1_weight=0.5, gater="resnet8")
    gated = _gated(method)
    assert len(gated.gates) == 1 and len(gated.sites) == 9
    assert sum(site.gates for site in gated.sites.values()) == 336
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert method.objective is not None
    assert method.objective(gated)(gates, 0.0).item() == 0.5
    dropped = _gated(gaternet(gater="resnet8", dropout=linear(0, 0.05)))
    dropped.set_progress(1.0)
    for estimator in (e for gate in dropped.gates.values() for e in gate.estimators):
        assert isinstance(estimator, sg.ImprovedSemHash) and estimator.dropout is not None
        assert float(estimator.dropout.value) == pytest.approx(0.05)
    assert gaternet(gater_weights="gater.safetensors").weights == {"network.gates.gater": "gater.safetensors"}


@pytest.mark.broad
def test_skipnet_gates_all_blocks_but_the_first_and_rewards_from_where_it_draws() -> None:
    method = skipnet(begin=0.25, alpha=0.5, reward_weight=0.02, pressure=0.1)
    gated = _gated(method)
    assert len(gated.sites) == 8 and {site.kind for site in gated.sites.values()} == {"layer"}
    for progress, draws in ((0.2, False), (0.25, True)):
        gated.set_progress(progress)
        policies = [estimator for gate in gated.gates.values() for estimator in gate.estimators]
        assert all(isinstance(policy, StraightThroughPolicy) and policy.draws == draws for policy in policies)
    assert method.reward is not None
    assert (method.reward.begin, method.reward.alpha, method.reward.weight) == (0.25, 0.5, 0.02)
    gated.strategy = sg.AlwaysOn()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    assert method.objective is not None
    assert method.objective(gated)(gates, 0.0).item() == pytest.approx(0.1)
