"""Random numbers of a batch: the same on one process and on many."""

import torch
import torch.distributed as dist
from torch import Tensor


def draw_uniform(like: Tensor) -> Tensor:
    """U(0, 1) shaped like `like` [N, ...], never exactly 0 or 1.

    On R processes each draws for the global batch and keeps rows [rank::R]: with equal seeds (Lightning's default) the
    processes would otherwise share their noise, and a run on R processes would differ from a run on one.
    """
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    noise = torch.rand(like.shape[0] * world, *like.shape[1:], dtype=like.dtype, device=like.device)
    tiny = torch.finfo(like.dtype).eps
    return (noise[rank::world] if world > 1 else noise).clamp_(tiny, 1 - tiny)
