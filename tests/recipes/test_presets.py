"""Every preset: it trains on digits, exports, and the engine decides and counts as torch does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sluicegate.convert import GatedModel
from sluicegate.data import Normalize, load
from sluicegate.gates import GateRecords
from sluicegate.lowering import lower
from sluicegate.methods import PRESETS
from sluicegate.recipes import recipe
from sluicegate.train import MethodRecipe, Recipe, build_subject, load_run, run
from sluicegate_runtime import Session

pytest.importorskip("sluicegate_runtime._engine", reason="the native engine is not built")

METHODS = {
    "dlcg": MethodRecipe("dlcg", {"layer_weight": 0.1, "channel_weight": 2.2, "batch_norm": True}),
    "dlcg-shaped": recipe("dlcg-digits-shaped").method,
    "combined": recipe("combined-digits").method,
    "channel_only": MethodRecipe("channel_only", {"channel_weight": 2.2, "batch_norm": True}),
    "convnet_aig": MethodRecipe("convnet_aig", {"target": 0.5}),
    "batch_shaping": recipe("batch_shaping-digits").method,
    "stochastic_gates": recipe("stochastic_gates-digits").method,
    "stochastic_gates-pruning": recipe("stochastic_gates-digits-pruning").method,
    "early_exits": recipe("early_exits-digits").method,
    "gaternet": recipe("gaternet-digits").method,
    "fbs": recipe("fbs-digits").method,
    "skipnet": MethodRecipe("skipnet", {"pressure": 0.1}),
    "budgeted": MethodRecipe("budgeted", {"noise": "linear(1, 0, 0, 0.7)"}),
    "budgeted-static-layers": MethodRecipe("budgeted", {"conditional": False, "layers": True, "noise": 0.0}),
}


def _recipe(method: MethodRecipe) -> Recipe:
    return replace(recipe("fbs-digits"), name="small", method=method, epochs=4)


def test_no_preset_is_left_out() -> None:
    assert {method.name for method in METHODS.values()} | {"dense"} == set(PRESETS)


@pytest.mark.broad
@pytest.mark.parametrize("name", METHODS)
def test_it_trains_on_digits_and_runs_alike_in_the_engine(name: str, tmp_path) -> None:
    result = run(_recipe(METHODS[name]), tmp_path / "run", progress=False)
    assert result.accuracy > 0.6  # chance is 0.1
    gated = load_run(tmp_path / "run")[1].eval()
    assert isinstance(gated, GatedModel)
    test = load("digits", "test", limit=40)
    pixels = Normalize(test.mean, test.std)(test.images)
    with torch.no_grad():
        output, gates = gated(pixels, return_gates=True)
    session = Session(lower(gated).artifact)
    _agree(session.run(pixels.numpy()), output, gates, gated.macs(gates))


def _agree(result, output: torch.Tensor, gates: GateRecords, macs: torch.Tensor) -> None:
    np.testing.assert_allclose(result.output, output.numpy(), rtol=0, atol=1e-3 * float(output.abs().max()))
    for name, record in gates.reached().items():
        assert np.array_equal(result.gates[name], record.open.bool().numpy()), name
    assert result.macs.tolist() == macs.tolist()


@pytest.mark.broad
def test_objectives_reach_the_gates() -> None:
    """Each preset's objective, if it has one, has a gradient in parameters of the gates."""
    images = load("digits", "train", limit=64)
    for name, method in METHODS.items():
        subject = build_subject(_recipe(method), images)
        if subject.objective is None:
            continue
        _, gates = subject.run(Normalize(images.mean, images.std)(images.images))
        subject.objective(gates, 0.5).backward()
        touched = [p for p in subject.parameter_groups()[1] if p.grad is not None and p.grad.abs().sum() > 0]
        assert touched, name
