"""How a closed gate acts on a value: it becomes exactly zero.

Legend: N images, C channels, H W pixels, G gates. Graph nodes with these targets are what costs and export look for.
"""

from torch import Tensor


def mask_channels(x: Tensor, is_open: Tensor) -> Tensor:
    """x [N, C, H, W] and is_open [N, G] -> x with the channels of closed gates zero; a gate switches C / G adjacent ones."""
    granularity = x.shape[1] // is_open.shape[1]
    per_channel = is_open if granularity == 1 else is_open.repeat_interleave(granularity, dim=1)
    return x * _spread(per_channel, x)


def mask_layer(x: Tensor, is_open: Tensor) -> Tensor:
    """x [N, C, H, W], the end of a residual branch, and is_open [N, 1] -> x, zero for the images that skip the branch."""
    return x * _spread(is_open, x)


def _spread(is_open: Tensor, x: Tensor) -> Tensor:
    return is_open.to(x.dtype).view(*is_open.shape, *(1,) * (x.dim() - 2))
