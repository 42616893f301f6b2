"""Random numbers of a batch."""

import pytest
import torch

from sluicegate import noise


def test_noise_of_a_process_is_its_rows_of_the_global_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    whole = noise.draw_uniform(torch.empty(6, 4))
    monkeypatch.setattr(noise.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(noise.dist, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(noise.dist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        assert torch.equal(noise.draw_uniform(torch.empty(3, 4)), whole[rank::2])
