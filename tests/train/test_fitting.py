import pytest
import torch
from torch import nn

from sluicegate.convert import ChannelGating, JointGating, gate_model
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, LearnedLogits, SaliencyHead, StraightThrough, Threshold, TopK
from sluicegate.nets import build_net
from sluicegate.train.fitting import Contributions, fit_gates

EXAMPLE = torch.zeros(1, 3, 16, 16)


def images(count=64, seed=0):
    """Images of very different contrast, so that contributions differ between them."""
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 3
    return torch.randn(count, 3, 16, 16, generator=generator) * contrast


def batches(n, size=32):
    return [images(size, seed) for seed in range(n)]


def trained(gating):
    torch.manual_seed(0)
    return gate_model(build_net("resnet8", width=0.5).eval(), gating, EXAMPLE)


def test_contributions_are_the_size_of_channels_times_the_weights_that_read_them():
    gated = trained(ChannelGating())
    gated.strategy = AlwaysOn()
    found, kept = Contributions(gated)(images(4)), {}
    plain = build_net("resnet8", width=0.5).eval()
    plain.load_state_dict({n.removeprefix("network."): t for n, t in gated.state_dict().items() if ".gates." not in n})
    relu = plain.get_submodule("layer1.0.relu1")
    relu.register_forward_hook(lambda module, args, output: kept.update(mid=output.detach()))
    plain(images(4))
    rms = kept["mid"].square().mean((2, 3)).sqrt()  # [N, C]
    norm = plain.get_parameter("layer1.0.conv2.weight").square().sum((0, 2, 3)).sqrt()
    torch.testing.assert_close(found["layer1.0.conv1"], rms * norm)


def test_gates_that_share_channels_add_up_their_power():
    networks = [trained(ChannelGating(granularity=g)) for g in (1, 2)]
    for gated in networks:
        gated.strategy = AlwaysOn()
    single, shared = (Contributions(gated)(images(4)) for gated in networks)
    name = "layer2.0.conv1"
    wanted = single[name].square().unflatten(1, (-1, 2)).sum(-1).sqrt()
    torch.testing.assert_close(shared[name], wanted)


def test_heads_learn_which_channels_contribute():
    gated = trained(ChannelGating(estimator=StraightThrough()))
    before = {name: p.clone() for name, p in gated.network.named_parameters() if not name.startswith("gates.")}
    fit = fit_gates(gated, batches(150), open_rate=0.5, steps=150)
    assert fit.steps == 150
    assert min(fit.agreement.values()) > 0.8, fit
    gated.eval()
    with torch.no_grad():
        _, gates = gated(images(64, 999), return_gates=True)
    gated.strategy = AlwaysOn()
    wanted = Contributions(gated)(images(64, 999))
    for name, record in gates.items():
        assert record.open.mean() == pytest.approx(0.5, abs=0.15), name
        inside, outside = (wanted[name][record.open == state].mean() for state in (1, 0))
        assert inside > 1.5 * outside, name
        assert record.open.std(0).mean() > 0.02, "the gates do not look at the image"
    after = dict(gated.network.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before), "the network is frozen meanwhile"


def test_a_fit_leaves_mode_strategy_and_gradients_as_they_were():
    gated = trained(JointGating()).train()
    gated.network.get_submodule("bn1").eval()
    gated.strategy = Threshold(0.3)
    modes = [module.training for module in gated.modules()]
    statistics = gated.network.get_buffer("bn1.running_mean").clone()
    fit = fit_gates(gated, batches(5), steps=3)
    assert set(fit.agreement) == set(gated.sites), "layer gates are fitted, too"
    assert [module.training for module in gated.modules()] == modes
    assert gated.strategy == Threshold(0.3)
    assert all(p.requires_grad for p in gated.parameters())
    assert torch.equal(statistics, gated.network.get_buffer("bn1.running_mean"))


@pytest.mark.broad
def test_a_fit_under_autocast_learns():
    """Autocast keeps copies of weights; a fit inside of one would see those of its first step."""
    gated = trained(ChannelGating())
    with torch.autocast("cpu", torch.bfloat16):
        fit = fit_gates(gated, batches(150), open_rate=0.5, steps=150)
    assert min(fit.agreement.values()) > 0.75, fit
    assert torch.is_autocast_cache_enabled()


def test_soft_targets_lie_between():
    free = ChannelGating(head=LearnedLogits)
    gated = trained(free)
    fit_gates(gated, batches(40), open_rate=0.7, steps=40, lr=0.5, softness=0.5)
    _, gates = gated.eval()(images(64, 999), return_gates=True)
    share = torch.cat([record.logits.sigmoid() for record in gates.values()], 1).mean()
    assert 0.55 < share < 0.85


@pytest.mark.parametrize(
    ("options", "named"),
    [({"open_rate": 1.0}, "open_rate: 1.0"), ({"steps": 0}, "steps: 0"), ({"softness": -1}, "softness: -1")],
)
def test_bad_options_are_refused(options, named):
    with pytest.raises(InputError, match=named):
        fit_gates(trained(ChannelGating()), batches(1), **options)


def test_nothing_to_fit_with_or_no_log_odds_are_refused():
    with pytest.raises(InputError, match="batches: none"):
        fit_gates(trained(ChannelGating()), [])
    ranked = trained(ChannelGating(estimator=TopK(), head=SaliencyHead))
    with pytest.raises(InputError, match="picked by rank"):
        fit_gates(ranked, batches(1))


def test_any_network_with_sites_can_be_fitted():
    """Concatenated readers, depthwise convolutions and linear layers count, too."""
    chain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(),
        nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    ).eval()  # fmt: skip
    gated = gate_model(chain, ChannelGating("all"), EXAMPLE)
    assert fit_gates(gated, batches(3), steps=2).steps == 2
