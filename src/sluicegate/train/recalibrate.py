"""Batch-norm statistics of a network whose weights are final (stochastic gates, section 4.1).

    "before final evaluation [...] we run training with a learning rate of zero and a large batch size for 200 batches"

The gates sample as they do in training, and a batch norm averages over batches with its own momentum: that is what
training at rate zero does.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Run batches through a network in training mode, without a gradient; nothing but its batch norms changes.

    Args:
        net: a gated or plain network; it keeps its mode.
        batches: [N, C, H, W] as the network takes them. On several processes each gives its own, and the statistics
            are averaged.
    """
    was_training = net.training
    net.train()
    for images in batches:
        net(images)
    net.train(was_training)
    if dist.is_initialized():
        _average(net)


def _average(net: nn.Module) -> None:
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    for statistic in (s for norm in norms for s in (norm.running_mean, norm.running_var) if s is not None):
        dist.all_reduce(statistic)
        statistic /= dist.get_world_size()
