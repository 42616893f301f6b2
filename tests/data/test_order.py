"""Which images come when; `test_batches.py` asks the same of batches."""

from hypothesis import given
from hypothesis import strategies as st

from sluicegate.data.order import Order


@given(n=st.integers(1, 60), batch_size=st.integers(1, 20), epoch=st.integers(0, 5), shuffle=st.booleans())
def test_every_image_comes_once(n: int, batch_size: int, epoch: int, shuffle: bool) -> None:
    order = Order(n, batch_size, shuffle, seed=1)
    order.epoch = epoch
    batches = [rows.tolist() for rows in order]
    assert sorted(row for rows in batches for row in rows) == list(range(n))
    assert len(batches) == len(order) and all(len(rows) == batch_size for rows in batches[:-1])


def test_an_epoch_under_way_keeps_its_order() -> None:
    order = Order(40, 10, shuffle=True)
    wanted = [rows.tolist() for rows in order]
    under_way = iter(order)
    found = [next(under_way).tolist()]
    order.epoch = 1
    assert [*found, *(rows.tolist() for rows in under_way)] == wanted
