"""What people read: a network that gates make slower is said to be."""

from sluicegate.tables import slower_than_dense


def test_gates_that_cost_more_than_they_save_are_named():
    (line,) = slower_than_dense({"dense": 0.1, "light": 0.104, "strong": 0.07})
    assert line.startswith("light: slower than without gates (0.104 ms, 0.100 ms)")


def test_gates_that_pay_are_not():
    assert slower_than_dense({"dense": 0.1, "middle": 0.1, "strong": 0.07}) == []
    assert slower_than_dense({"dense": 0.1}) == []
