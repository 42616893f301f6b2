import pytest
import torch

from sluicegate.convert import ChannelGating, gate_model
from sluicegate.errors import InputError
from sluicegate.nets import build_net
from sluicegate.objectives import GateL1
from sluicegate.train import BudgetRecipe, DataRecipe, NetRecipe, Recipe
from sluicegate.train.budget import add_targets, tightening


def recipe(**budget):
    return Recipe("small", DataRecipe("digits"), NetRecipe("resnet8"), budget=BudgetRecipe(**budget))


@pytest.fixture
def gated():
    torch.manual_seed(0)
    return gate_model(build_net("resnet8", width=0.25), ChannelGating(initial_open_rate=0.5), torch.zeros(1, 3, 16, 16))


@pytest.fixture
def gates(gated):
    return gated.eval()(torch.randn(8, 3, 16, 16), return_gates=True).gates


def test_a_target_tightens_in_a_line_or_along_a_cosine():
    line, wave = (tightening(1.0, 0.5, 0.4, shape) for shape in ("linear", "cosine"))
    assert [line(p) for p in (0, 0.2, 0.4, 1)] == pytest.approx([1, 0.75, 0.5, 0.5])
    assert [wave(p) for p in (0, 0.1, 0.2, 0.4, 1)] == pytest.approx([1, 0.5 + 0.5 * (2 + 2**0.5) / 4, 0.75, 0.5, 0.5])
    assert tightening(1.0, 0.5, 0.0)(0.0) == 0.5


def test_a_share_of_macs_is_a_squared_distance_that_moves(gated, gates):
    objective = add_targets(recipe(macs=0.4, weight=3.0, tighten=0.5), gated, None)
    assert objective is not None
    share = (gated.macs(gates) / gated.macs.dense).mean().item()
    for progress, target in ((0.0, 1.0), (0.25, 0.7), (0.5, 0.4), (1.0, 0.4)):
        assert objective(gates, progress).item() == pytest.approx(3 * (share - target) ** 2, rel=1e-4)


def test_a_rate_is_that_of_all_gates_and_may_be_lower_for_nothing(gated, gates):
    rate = torch.cat([record.open for record in gates.values()], 1).mean().item()
    objective = add_targets(recipe(rate=0.9 * rate, weight=1.0, tighten=0.0), gated, None)
    assert objective is not None and objective(gates, 0.0).item() == pytest.approx((0.1 * rate) ** 2, rel=1e-3)
    lenient = add_targets(recipe(rate=min(1.0, 1.1 * rate), tighten=0.0, free="below"), gated, None)
    assert lenient is not None and lenient(gates, 0.0).item() == 0


@pytest.mark.parametrize("what", ["macs", "rate"])
def test_a_multiplier_makes_what_is_missed_dearer(what, gated, gates):
    common = {what: 0.1, "weight": 2.0, "tighten": 0.0}
    held, plain = (add_targets(recipe(**common, multiplier_rate=k), gated, None) for k in (5, 0))
    assert held is not None and plain is not None
    first = plain(gates, 0.0)
    assert held(gates, 0.0) == held(gates, 0.4) == first, "it grows with the progress since the last batch"
    missed = (first / 2).sqrt()
    torch.testing.assert_close(held(gates, 0.4) - first, 2 * 5 * 0.4 * missed.square())


def test_it_stands_beside_the_methods_own(gated, gates):
    both = add_targets(recipe(macs=0.4, tighten=0.0), gated, GateL1("channel"))
    alone = add_targets(recipe(macs=0.4, tighten=0.0), gated, None)
    assert both is not None and alone is not None
    torch.testing.assert_close(both(gates, 0.0), alone(gates, 0.0) + GateL1("channel")(gates, 0.0))
    own = GateL1("channel")
    assert add_targets(recipe(), gated, own) is own
    assert add_targets(recipe(), None, None) is None


def test_a_network_without_gates_has_no_target():
    with pytest.raises(InputError, match=r"budget\.macs: 0\.5 cannot be a target: the network has no gates"):
        add_targets(recipe(macs=0.5), None, None)
    with pytest.raises(InputError, match=r"budget\.rate: 0\.5 cannot be a target"):
        add_targets(recipe(rate=0.5), None, None)
