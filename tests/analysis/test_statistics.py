"""Every statistic against a direct computation on a network with planted gates."""

import numpy as np
import pandas as pd
import planted
import pytest
from planted import CLASSES

from sluicegate.analysis import (
    accuracy_by_cost,
    activity,
    agreeing_gates,
    class_rates,
    class_table,
    confusions,
    easiest,
    firing_difference,
    gate_map,
    gate_table,
    hardest,
    layer_table,
    observe,
    opening_images,
    paths,
    polarisation,
    probability_histogram,
    rank_correlation,
    specialists,
)
from sluicegate.analysis.source import ArraySource
from sluicegate.errors import InputError

SOURCE, LABELS, HEADS = planted.images(400)
OPEN = planted.decisions(LABELS, HEADS)


@pytest.fixture(scope="module")
def seen():
    return observe(planted.network(), SOURCE)


@pytest.fixture(scope="module")
def unlabelled():
    return observe(planted.network(), ArraySource(SOURCE.inputs))


def test_activity_at_its_borders():
    assert activity(np.array([0.99, 0.98, 0.02, 0.01])).tolist() == [
        "always on",
        "conditional",
        "conditional",
        "always off",
    ]


def test_gates_are_named_always_on_always_off_or_conditional(seen):
    gates = gate_table(seen)
    assert gates["opened"].tolist() == OPEN.sum(0).tolist()
    assert gates["rate"].tolist() == OPEN.mean(0).tolist()
    assert gates["activity"].tolist() == ["always on", "always off", *4 * ["conditional"]]
    layers = layer_table(gates)
    assert layers.values.tolist() == [
        [planted.SITE, "always on", 1, 1 / 6],
        [planted.SITE, "conditional", 4, 4 / 6],
        [planted.SITE, "always off", 1, 1 / 6],
    ]


def test_two_gates_that_always_agree_are_found(seen):
    assert agreeing_gates(seen, gate_table(seen)) == [[3, 4]]


def test_a_gate_of_one_class_is_named_as_such(seen):
    found = specialists(seen, gate_table(seen))
    only = found[found["only"]]
    assert only["gate"].tolist() == [2] and only["name"].tolist() == [CLASSES[1]]
    assert only["top"].tolist()[0] == [(CLASSES[1], int((LABELS == 1).sum()))]
    assert not set(found["gate"]) & {0, 1, 3, 4, 5}  # which are open too often, or never
    assert len(specialists(seen, gate_table(seen), most=0)) == 0


def test_firing_rates_of_classes(seen):
    rates = class_rates(seen)
    direct = np.array([OPEN[label == LABELS].mean(0) for label in range(4)])
    np.testing.assert_array_equal(rates, direct)
    np.testing.assert_array_equal(firing_difference(rates, 1, 2)[:5], [0, 0, 1, -1, -1])


def test_classes_by_cost(seen):
    table = class_table(seen)
    assert table["mean"].is_monotonic_decreasing
    for row in table.to_dict("records"):
        its = seen.macs[row["label"] == LABELS]
        assert (row["name"], row["images"]) == (CLASSES[row["label"]], len(its))
        assert (row["mean"], row["low"], row["high"]) == (its.mean(), np.quantile(its, 0.1), np.quantile(its, 0.9))
    owl = table[table["name"] == "owl"].iloc[0]
    assert owl["accuracy"] == 1 - HEADS[LABELS == 0].mean()


def test_a_class_without_images_has_no_row_and_no_rate():
    source = ArraySource(SOURCE.inputs[LABELS != 2], LABELS[LABELS != 2], CLASSES)
    found = observe(planted.network(), source)
    assert set(class_table(found)["name"]) == {"owl", "cat", "fox"}
    assert np.isnan(class_rates(found)[2]).all()


def test_where_it_is_wrong(seen):
    table = confusions(seen)
    assert table.values.tolist() == [["owl", "fox", int(((LABELS == 0) & HEADS).sum())]]


def test_images_of_the_most_and_the_least_work_and_their_paths(seen):
    most, least = hardest(seen, 5), easiest(seen, 5)
    assert (np.sort(seen.macs)[::-1][:5] == seen.macs[most]).all()
    assert (np.sort(seen.macs)[:5] == seen.macs[least]).all()
    assert (paths(seen, most)[:, 0] == OPEN[most].mean(1)).all()
    assert opening_images(seen, 2, 3).tolist() == np.flatnonzero(LABELS == 1)[:3].tolist()
    assert opening_images(seen, 1, 3).tolist() == []


def test_accuracy_by_cost(seen):
    table = accuracy_by_cost(seen)
    order = np.argsort(seen.macs, kind="stable")
    assert table["images"].tolist() == [40] * 10
    for part, row in enumerate(table.to_dict("records")):
        its = order[40 * part : 40 * part + 40]
        assert row["accuracy"] == seen.right[its].mean() and row["mean"] == seen.macs[its].mean()


def test_rank_correlation():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 9, 200)
    second = first + rng.integers(0, 9, 200)
    assert rank_correlation(first, second) == pytest.approx(pd.Series(first).corr(pd.Series(second), method="spearman"))
    assert rank_correlation(first, 2 * first) == pytest.approx(1)
    assert rank_correlation(first, np.ones(200)) is None


def test_probabilities(seen):
    table = probability_histogram(seen)
    assert table["pairs"].sum() == 6 * len(seen) and table["share"].sum() == pytest.approx(1)
    logits = np.where(OPEN, [9, 0, 2, 2, 3, 2], [0, -9, -2, -2, -3, -2])
    p = 1 / (1 + np.exp(-logits.astype(float)))
    assert polarisation(seen) == pytest.approx((4 * p * (1 - p)).mean(), abs=0.02)


def test_the_map_lays_images_of_the_same_gates_together(seen):
    table = gate_map(seen, most=80)
    assert len(table) == 80 and set(table["label"]) == set(CLASSES)
    places = table[["x", "y"]].to_numpy()
    patterns = [row.tobytes() for row in OPEN[table["image"]]]
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = (distance + 1e9 * np.eye(80)).argmin(1)
    alike = np.mean([patterns[i] == patterns[j] for i, j in enumerate(nearest)])
    assert alike > 0.9
    again = gate_map(seen, most=80)
    assert (again[["x", "y"]].to_numpy() == places).all()


def test_of_a_single_image_there_is_no_map():
    one = observe(planted.network(), ArraySource(SOURCE.inputs[:1], LABELS[:1], CLASSES))
    assert gate_map(one).empty
    assert accuracy_by_cost(one)["images"].tolist() == [1]
    assert set(gate_table(one)["activity"]) <= {"always on", "always off"}


@pytest.mark.parametrize("statistic", [class_rates, class_table, confusions])
def test_what_needs_labels_says_so(unlabelled, statistic):
    with pytest.raises(InputError, match="labels: there are none"):
        statistic(unlabelled)
