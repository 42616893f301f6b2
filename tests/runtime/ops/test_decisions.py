"""gate and lstm by hand and against torch; exits are tested with the walk, in test_reference.py."""

import numpy as np
import pytest
from conformance.builder import Builder
from one_op import random, run_op

from sluicegate_runtime import InputError, run_reference

NOTHING = np.zeros((1, 1, 1, 1), np.float32)


def decided(logits: list[float], run_at: float | None = None, **attributes) -> list[bool]:
    b = Builder(np.random.default_rng(0))
    x = b.value((1, 1, 1))
    gate = b.op("gate", [b.stored(np.array(logits))], (len(logits),), **attributes)
    return run_reference(b.program(x, x), b.tensors, NOTHING, run_at).gates[gate][0].tolist()


def test_a_gate_is_open_above_its_threshold():
    assert decided([-1, 0, 0.5, 2]) == [False, False, True, True]
    assert decided([-1, 0, 0.5, 2], run_at=0.5) == [False, False, True, True]
    assert decided([-1, 0, 0.5, 2], threshold=1.0) == [False, False, False, True]


def test_the_k_largest_are_open_of_equals_the_first():
    assert decided([1, 3, 2, 3, 3], top_k=2) == [False, True, False, True, False]
    assert decided([1, 3, 2, 3, 3], top_k=2, run_at=1.0) == [False, True, False, True, False]


@pytest.mark.parametrize("threshold", [None, 0.5, 1.0])
def test_what_is_kept_open_stays_open(threshold):
    """Fault 14: a run at threshold 1 closed the channels that a network cannot do without."""
    assert decided([-9, -9, -9], threshold, keep_open=2) == [True, True, False]
    assert decided([-9, -8, 9, 7], threshold, keep_open=1, top_k=2) == [True, False, True, False]
    assert decided([-9, -8, 9, 7], threshold, keep_open=2, top_k=1) == [True, True, False, False]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"top_k": 4}, r"top_k 4 is outside 0\.\.3"),
        ({"top_k": -1}, r"top_k -1 is outside 0\.\.3"),
        ({"keep_open": 4}, r"keep_open 4 is outside 0\.\.3"),
    ],
)
def test_more_flags_than_there_are_cannot_be_open(attributes, message):
    with pytest.raises(InputError, match=message):
        decided([1, 2, 3], **attributes)


def test_two_steps_of_an_lstm():
    torch = pytest.importorskip("torch")
    b = Builder(np.random.default_rng(0))
    x, image = b.value((3, 4, 5)), random(3, 4, 5)
    states = [b.lstm(b.pooled(x), 7)]
    states.append(b.lstm(b.pooled(x), 7, states[0]))
    result = run_reference(b.program(x, b.op("slice", [states[1]], (7,), size=7)), b.tensors, image[None])
    first, second = (op.name for op in b.ops if op.kind == "lstm")
    tensors = {name: torch.from_numpy(tensor) for name, tensor in b.tensors.items()}
    features, zeros = torch.from_numpy(image).mean((1, 2))[None], torch.zeros(4 * 7, 7)
    both = {first: torch.cat([tensors[f"{first}.weight"], zeros], 1), second: tensors[f"{second}.weight"]}
    state = torch.zeros(1, 7), torch.zeros(1, 7)
    for name, weight in both.items():
        cell = torch.nn.LSTMCell(3, 7)
        parts = (*weight.split([3, 7], dim=1), tensors[f"{name}.bias"], torch.zeros(28))
        cell.load_state_dict(dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parts, strict=True)))
        state = cell(features, state)
    np.testing.assert_allclose(result.output[0], state[0][0].detach().numpy(), rtol=1e-5, atol=1e-5)
    assert result.macs[0] == 2 * 3 * 20 + 28 * 3 + 28 * (3 + 7)


@pytest.mark.parametrize(
    ("inputs", "weight", "message"),
    [
        ([(3, 2, 2)], (8, 3), "must be \\(F,\\)"),
        ([(3,)], (8, 4), "must be \\[4 \\* hidden, in\\]"),
        ([(3,)], (3, 3), "must be \\[4 \\* hidden, in\\]"),
        ([(3,), (4,)], (8, 3), "must be \\[4 \\* hidden, in\\]"),
        ([(3,), (5,)], (8, 5), "state has shape \\(5,\\), must be \\(4,\\)"),
    ],
)
def test_an_lstm_that_does_not_fit_is_refused(inputs, weight, message):
    with pytest.raises(InputError, match=message):
        run_op("lstm", *(random(*shape) for shape in inputs), tensors={"weight": random(*weight)})
