"""A trained network as a file for the engine, with what an image needs on its way in."""

from pathlib import Path

import torch
from torch import nn

from sluicegate.data import DataSpec, Images
from sluicegate.lowering import export
from sluicegate_runtime import Preprocessing


def export_net(net: nn.Module, images: Images | DataSpec, file: Path) -> Path:
    """Write a network for such images as a file for the engine.

    Raises:
        InputError: the engine has no op for a part of the network.
    """
    size = min(images.shape[1:])
    preprocessing = Preprocessing(resize=size, crop=size, mean=images.mean, std=images.std)
    return export(net, file, torch.zeros(1, *images.shape), preprocessing, images.classes)
