"""Heads, masks, strategies and the gate that joins them."""

import math

import pytest
import torch
from torch import Tensor, nn

from sluicegate import (
    AlwaysOn,
    BinConcrete,
    Ensemble,
    GateSite,
    GumbelSoftmax,
    InputError,
    MemoryHead,
    PooledHead,
    Stochastic,
    Threshold,
)
from sluicegate.gates import Decision, Estimator, Gate, mask_channels, mask_layer, on_minus_off

LAYER = GateSite("block", "layer", 1, 1, "x", "end")
CHANNEL = GateSite("block.conv1", "channel", 8, 16, "x", "relu")


def _joint(initial_open_rate: float = 0.5) -> Gate:
    head = PooledHead(4, (1, 8))
    return Gate(head, (LAYER, CHANNEL), (BinConcrete(), BinConcrete()), initial_open_rate)


def _decide(gate: Gate, x: Tensor) -> tuple[Decision, ...]:
    """What a gate makes of features, as the nodes of a graph would have it."""
    said = zip(gate.head(x), gate.estimators, strict=True)
    return gate(*(on_minus_off(raw) if estimator.logits_per_gate == 2 else raw for raw, estimator in said))


def test_pooled_head_is_pool_linear_relu_linear() -> None:
    head = PooledHead(4, (3, 2), hidden=5)
    x = torch.randn(2, 4, 6, 7)
    hidden = torch.relu(x.mean((2, 3)) @ head.hidden.weight.T + head.hidden.bias)
    for raw, output in zip(head(x), head.outputs, strict=True):
        assert isinstance(output, nn.Linear)
        torch.testing.assert_close(raw, hidden @ output.weight.T + output.bias)


def test_a_memory_looks_at_what_all_gates_said_first() -> None:
    head = MemoryHead(4, (6,), hidden=5).eval()
    x = torch.randn(3, 4, 2, 2)
    (first,), (output,) = head.first(x), head.outputs
    assert isinstance(output, nn.Linear)
    hidden = torch.relu((first @ head.hidden.weight.T + head.hidden.bias) / math.sqrt(1 + head.norm.eps))
    torch.testing.assert_close(head(x)[0], hidden @ output.weight.T + output.bias)
    (first_output,) = head.first.outputs
    assert isinstance(first_output, nn.Linear)
    (gradient,) = torch.autograd.grad(head(x)[0][:, 0].sum(), first_output.bias)
    assert (gradient != 0).all()  # a gate depends on every other's first word
    with pytest.raises(InputError, match="outputs: a head with a memory serves one site, not 2"):
        MemoryHead(4, (1, 8))


def test_batch_norm_of_a_head_is_an_option() -> None:
    assert not any(isinstance(m, nn.BatchNorm1d) for m in PooledHead(4, (1,)).modules())
    assert any(isinstance(m, nn.BatchNorm1d) for m in PooledHead(4, (1,), batch_norm=True).modules())


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.88])
@pytest.mark.parametrize("estimator", [BinConcrete(), GumbelSoftmax()], ids=repr)
def test_initial_open_rate_is_where_gates_start(rate: float, estimator: Estimator) -> None:
    head = PooledHead(4, (8 * estimator.logits_per_gate,))
    nn.init.zeros_(head.hidden.bias)
    ((logits, _, _),) = _decide(Gate(head, (CHANNEL,), (estimator,), rate), torch.zeros(3, 4, 2, 2))
    torch.testing.assert_close(torch.sigmoid(logits), torch.full((3, 8), rate))


def test_two_logits_make_one_gate_by_their_difference() -> None:
    head = PooledHead(4, (16,))
    gate = Gate(head, (CHANNEL,), (GumbelSoftmax(),), 0.5)
    x = torch.randn(3, 4, 2, 2)
    raw = head(x)[0].view(3, 8, 2)
    ((logits, _, _),) = _decide(gate, x)
    torch.testing.assert_close(logits, raw[..., 1] - raw[..., 0])


def test_channels_of_a_skipped_layer_count_as_closed() -> None:
    torch.manual_seed(0)
    (_, layer, _), (_, channels, _) = _decide(_joint(), torch.randn(64, 4, 2, 2))
    assert 0 < layer.sum() < 64
    assert channels[layer[:, 0] == 0].sum() == 0
    assert channels[layer[:, 0] == 1].sum() > 0


def test_pressure_on_channels_leaves_the_layer_gate_alone() -> None:
    gate = _joint()
    (layer_logits, _, _), (channel_logits, channels, _) = _decide(gate, torch.randn(64, 4, 2, 2))
    grads = torch.autograd.grad(channels.sum(), (layer_logits, channel_logits), allow_unused=True)
    assert grads[0] is None or grads[0].abs().max() == 0
    assert grads[1].abs().max() > 0


def test_half_precision_features_give_float32_logits() -> None:
    gate = _joint().to(torch.bfloat16)
    assert _decide(gate, torch.randn(2, 4, 2, 2, dtype=torch.bfloat16))[0][0].dtype == torch.float32


@pytest.mark.parametrize("granularity", [1, 2, 4])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=("nchw", "nhwc"))
def test_mask_and_its_gradients(granularity: int, memory_format: torch.memory_format) -> None:
    x = torch.randn(3, 8, 5, 4, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    is_open = torch.rand(3, 8 // granularity, dtype=torch.float64, requires_grad=True)
    expected = x * is_open.repeat_interleave(granularity, 1)[:, :, None, None]
    torch.testing.assert_close(mask_channels(x, is_open), expected)
    assert torch.autograd.gradcheck(mask_channels, (x, is_open))


def test_layer_mask_and_its_gradients() -> None:
    x = torch.randn(3, 8, 5, 4, dtype=torch.float64, requires_grad=True)
    is_open = torch.rand(3, 1, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(mask_layer(x, is_open), x * is_open[:, :, None, None])
    assert torch.autograd.gradcheck(mask_layer, (x, is_open))


def test_mask_keeps_the_memory_format() -> None:
    x = torch.randn(3, 8, 5, 4).to(memory_format=torch.channels_last)
    assert mask_channels(x, torch.ones(3, 8)).is_contiguous(memory_format=torch.channels_last)


def test_strategies_in_training_and_evaluation() -> None:
    logits = torch.tensor([[-3.0, -0.1, 0.1, 3.0]]).expand(20_000, 4)
    estimator = BinConcrete()
    assert Threshold()(estimator, logits, False)[0].tolist() == [0, 0, 1, 1]
    assert Threshold(0.9)(estimator, logits, False)[0].tolist() == [0, 0, 0, 1]
    assert AlwaysOn()(estimator, logits, False).min() == AlwaysOn()(estimator, logits, True).min() == 1
    torch.manual_seed(0)
    drawing = (
        (Stochastic(), False),
        (Stochastic(), True),
        (Threshold(), True),
        (Ensemble(), False),
        (Ensemble(), True),
    )
    for strategy, training in drawing:
        rates = strategy(estimator, logits, training).mean(0)
        torch.testing.assert_close(rates, torch.sigmoid(logits[0]), atol=0.018, rtol=0)  # 5 standard errors


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5])
def test_a_threshold_must_be_a_probability(threshold: float) -> None:
    with pytest.raises(InputError, match=r"threshold: .* must lie between 0 and 1"):
        Threshold(threshold)


def test_an_ensemble_makes_a_pass_at_least() -> None:
    with pytest.raises(InputError, match="passes: 0 must be at least 1"):
        Ensemble(0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_initial_open_rate_must_be_a_probability(rate: float) -> None:
    with pytest.raises(InputError, match=r"initial_open_rate: .* must lie between 0 and 1"):
        _joint(rate)
