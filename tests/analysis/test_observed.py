"""One pass over images, against what was planted and against the engine asked directly."""

from dataclasses import replace

import numpy as np
import planted
import pytest
from conformance.builder import Builder
from conformance.generate import exit_early

from sluicegate.analysis import observe
from sluicegate.analysis.observed import BINS, sites_of
from sluicegate.analysis.source import ArraySource
from sluicegate.errors import InputError, RunError
from sluicegate_runtime import Artifact, Session, without_gates


def test_it_sees_what_was_planted():
    source, labels, heads = planted.images()
    seen = observe(planted.network(), source, batch_size=64)
    assert [(site.name, site.kind, site.gates) for site in seen.sites] == [(planted.SITE, "channel", 6)]
    assert (seen.decisions.rows(slice(None)) == planted.decisions(labels, heads)).all()
    mistaken = (labels == 0) & heads
    assert (seen.predicted == np.where(mistaken, 3, labels)).all()
    assert seen.accuracy == 1 - mistaken.mean()
    spread = seen.macs - planted.macs(labels, heads, seen.dense_macs)
    assert np.ptp(spread) == 0
    assert seen.open_rate == pytest.approx(planted.decisions(labels, heads).mean())
    assert seen.classes == planted.CLASSES


def test_scores_and_losses_are_the_engines():
    source, labels, _ = planted.images(50)
    artifact = planted.network()
    seen = observe(artifact, source, batch_size=7)
    for session, loss in ((Session(artifact), seen.loss), (Session(without_gates(artifact)), seen.dense_loss)):
        scores = session.run(source.inputs).output.astype(np.float64)
        direct = np.log(np.exp(scores).sum(1)) - scores[np.arange(50), labels]
        assert loss is not None
        np.testing.assert_allclose(loss, direct, atol=1e-5)
    assert seen.dense_macs == Session(without_gates(artifact)).run(source.inputs[:1]).macs[0]


def test_probabilities_are_those_of_the_logits():
    source, labels, _ = planted.images(100)
    seen = observe(planted.network(), source)
    counts = seen.probabilities[planted.SITE]
    assert counts.sum(1).tolist() == [100] * 6
    assert counts[0, BINS - 1] == 100 and counts[1, 0] == 100  # sigmoid(9), sigmoid(-9)
    high, low = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.0))
    ones = int((labels == 1).sum())
    assert counts[2, int(high * BINS)] == ones and counts[2, int(low * BINS)] == 100 - ones


def test_without_labels_there_is_neither_accuracy_nor_loss():
    source, _, _ = planted.images(20)
    seen = observe(planted.network(), ArraySource(source.inputs))
    assert (seen.labels, seen.loss, seen.accuracy, seen.right, seen.dense_loss) == (None,) * 5
    assert seen.classes == ("0", "1", "2", "3")


def test_a_threshold_moves_the_gates():
    source, _, _ = planted.images(20)
    seen = observe(planted.network(), source, threshold=0.9)
    assert seen.decisions.opened_by_gate()[[0, 2, 5]].tolist() == [20, 0, 0]


def test_kinds_of_sites_and_gates_that_may_not_be_asked():
    b = Builder(np.random.default_rng(0))
    x = b.value((3, 8, 8))
    y = b.conv(x, 8, 3, activation="relu")
    exit_early(b, y, 4)
    with b.under(b.gate(y, 1)):
        z = b.conv(b.conv(y, 8, 3, gate=b.gate(y, 8, top_k=0)), 8, 3)
    y = b.op("add", [y, z], b.shape(y))
    artifact = Artifact(b.program(x, b.linear(b.pooled(y), 4)), b.tensors)
    assert [site.kind for site in sites_of(artifact.program)] == ["exit", "layer", "channel"]
    inputs = np.random.default_rng(1).normal(size=(9, 3, 8, 8)).astype(np.float32)
    seen = observe(artifact, ArraySource(inputs), batch_size=4)
    assert seen.probabilities == {}
    direct = Session(artifact).run(inputs)
    assert (seen.decisions.rows(slice(None)) == np.concatenate(list(direct.gates.values()), 1)).all()
    assert (seen.macs == direct.macs).all()


def test_a_network_without_gates_is_seen_too():
    source, _, _ = planted.images(20)
    seen = observe(without_gates(planted.network()), source)
    assert seen.sites == () and seen.open_rate is None
    assert (seen.macs == seen.dense_macs).all() and len(seen.decisions) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, inputs=s.inputs[:0]), "data: there are no images"),
        (lambda s: replace(s, classes=("a",)), "data: it has 1 classes, but the network 4"),
        (lambda s: replace(s, labels=s.labels + 1), r"labels: 1\.\.4 must lie in 0\.\.3"),
    ],
)
def test_images_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        observe(planted.network(), change(planted.images(20)[0]))


def test_other_class_names_and_other_outputs_are_refused():
    artifact, source = planted.network(), planted.images(20)[0]
    named = Artifact(replace(artifact.program, classes=("a", "b", "c", "d")), artifact.tensors)
    with pytest.raises(InputError, match="'owl' there and 'a' in the network"):
        observe(named, source)
    picture = replace(artifact.program, outputs={"output": artifact.program.ops[4].output}, classes=())
    with pytest.raises(InputError, match=r"labels: \(20,\) do not fit answers of shape \(20, 6, 6\)"):
        observe(Artifact(picture, artifact.tensors), source)


def test_scores_that_are_not_finite_end_it():
    artifact, source = planted.network(), planted.images(20)[0]
    source.inputs[3] = np.nan
    with pytest.raises(RunError, match="not finite"):
        observe(artifact, source)
