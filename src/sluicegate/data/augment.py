"""Augmentation of whole batches on whatever device they are on; every image gets a draw of its own.

In evaluation mode the random ones return what they are given. Shapes: N images, C channels, H x W pixels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from sluicegate.errors import InputError


def draw_rows(rows: int, draw: Callable[[int], Tensor]) -> Tensor:
    """`draw(rows)` on one process; on R processes rank r's share [r::R] of the draw for the global batch.

    With equal generator states a run on R processes then augments every image as a run on one does.
    Every process must hold equally many rows.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return draw(rows)
    world = dist.get_world_size()
    return draw(rows * world)[dist.get_rank() :: world]


class PadCrop(nn.Module):
    """Pad each side with black and crop the old size at a random place; [N, C, H, W] to the same.

    Args:
        padding: pixels on each side, 1 or more.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        if padding < 1:
            raise InputError(f"padding: {padding} must be 1 or more")
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return images
        n, channels, height, width = images.shape
        device = images.device
        places = 2 * self.padding + 1
        corner = draw_rows(n, lambda rows: torch.randint(places, (rows, 2), device=device))  # [N, 2]
        y = corner[:, :1] + torch.arange(height, device=device)  # [N, H]
        x = corner[:, 1:] + torch.arange(width, device=device)  # [N, W]
        padded = F.pad(images, (self.padding,) * 4)
        image = torch.arange(n, device=device).view(n, 1, 1, 1)
        channel = torch.arange(channels, device=device).view(1, channels, 1, 1)
        return padded[image, channel, y.view(n, 1, height, 1), x.view(n, 1, 1, width)]


class HorizontalFlip(nn.Module):
    """Mirror each image, or do not, with equal chance; [N, C, H, W] to the same."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return images
        chance = draw_rows(len(images), lambda rows: torch.rand(rows, device=images.device))  # [N]
        return torch.where((chance < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)


class Normalize(nn.Module):
    """(pixels / 255 - mean) / std; uint8 [N, C, H, W] to float32 [N, C, H, W].

    Args:
        mean: one a channel, with pixels from 0 to 1.
        std: likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise InputError(f"std: {list(std)} must have the length of mean, {len(mean)}")
        # Not in the state dict: they belong to the data, and weights must load without them.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != len(self.mean):
            raise InputError(f"images: {images.shape[1]} channels, but mean and std have {len(self.mean)}")
        return (images.float() / 255 - self.mean) / self.std
