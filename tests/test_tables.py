"""What people read: a network that gates make slower is said to be; what accuracy is of."""

from sluicegate.tables import result_tables, slower_than_dense
from sluicegate.train import Evaluation, MacStatistics


def test_gates_that_cost_more_than_they_save_are_named():
    (line,) = slower_than_dense({"dense": 0.1, "light": 0.104, "strong": 0.07})
    assert line.startswith("light: slower than without gates (0.104 ms, 0.100 ms)")


def test_gates_that_pay_are_not():
    assert slower_than_dense({"dense": 0.1, "middle": 0.1, "strong": 0.07}) == []
    assert slower_than_dense({"dense": 0.1}) == []


def test_mean_iou_has_a_column_where_there_is_one() -> None:
    macs = MacStatistics(100, 50.0, 40, 60, 5.0)
    with_masks = Evaluation(0.75, 4, macs, {}, {}, mean_iou=0.3, class_iou={"road": 0.3})
    (table,) = result_tables({"streets": with_masks})
    shown = {column.header: list(column.cells) for column in table.columns}
    assert (shown["mean IoU"], shown["pixels right"]) == (["30.00%"], ["75.00%"])
    (table,) = result_tables({"digits": Evaluation(0.75, 4, macs, {}, {})})
    assert [column.header for column in table.columns][:2] == ["network", "accuracy"]
