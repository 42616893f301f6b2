"""Batches: every image once, in an order of (seed, epoch) alone, shared out among processes row by row."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from sluicegate.data import Batches, ImageSet
from sluicegate.errors import InputError


def numbered(n: int) -> ImageSet:
    """Images whose only pixel is their label, which is their place in the set."""
    labels = torch.arange(n)
    return ImageSet(labels.to(torch.uint8).view(n, 1, 1, 1), labels, tuple(map(str, range(n))), (0.0,), (1.0,))


def rows(batches: Batches) -> list[list[int]]:
    """The labels of each batch, after a look at its images."""
    found = []
    for images, labels in batches:
        assert torch.equal(images.flatten().long(), labels)
        found.append(labels.tolist())
    assert len(found) == len(batches)
    return found


def test_without_shuffling_the_order_is_the_set_s() -> None:
    assert rows(numbered(7).batches(3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(numbered(7).batches(3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert rows(numbered(6).batches(3)) == [[0, 1, 2], [3, 4, 5]]


@given(n=st.integers(1, 60), batch_size=st.integers(1, 20), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_an_epoch_meets_every_image_once(n: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = numbered(n).batches(batch_size, shuffle=True, seed=seed)
    batches.set_epoch(epoch)
    assert sorted(label for batch in rows(batches) for label in batch) == list(range(n))


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = numbered(50).batches(10, shuffle=True, seed=seed)
        batches.set_epoch(epoch)
        return rows(batches)

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)  # no matter: the order is not drawn from the global generator
    assert order(0, 0) == first
    assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@given(share=st.integers(1, 4), world=st.integers(1, 4), n=st.integers(1, 60), drop_last=st.booleans())
def test_the_processes_share_each_batch_row_by_row(share: int, world: int, n: int, drop_last: bool) -> None:
    batch_size, rest = share * world, n % (share * world)
    assume(n >= batch_size and (drop_last or rest == 0 or rest >= world))
    options = {"shuffle": True, "seed": 3, "drop_last": drop_last}
    whole = rows(numbered(n).batches(batch_size, **options))
    for rank in range(world):
        part = rows(numbered(n).batches(batch_size, rank=rank, world=world, **options))
        assert part == [batch[rank::world] for batch in whole]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 must be 1 or more"),
        ({"batch_size": 5, "world": 2}, "batch_size: 5 must be a multiple of the 2 processes"),
        ({"batch_size": 4, "rank": 2, "world": 2}, r"rank: 2 must lie in 0\.\.1"),
        ({"batch_size": 8, "drop_last": True}, "batch_size: 8 must be at most the number of images, 7"),
        ({"batch_size": 6, "world": 2}, "batch_size: 6 leaves a last batch of 1 for 2 processes"),
    ],
)
def test_what_does_not_share_out_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        numbered(7).batches(**options)
