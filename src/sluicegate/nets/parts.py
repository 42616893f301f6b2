"""Parts of networks for small images.

Shapes: N images, C channels, H x W pixels.
"""

from torch import Tensor, nn

from sluicegate.errors import InputError


class SqueezeExcitation(nn.Module):
    """x times a factor for each channel, computed from the channels' means (Hu et al., CVPR 2018, section 3).

        s = sigmoid(expand(relu(reduce(mean of x over H W))))

    Maps [N, C, H, W] to [N, C, H, W].

    Args:
        channels: C.
        squeeze: r; the hidden layer has C / r neurons, rounded down, at least one.

    Raises:
        InputError: r is not a whole number of 1 or more.
    """

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        check_count("squeeze", squeeze)
        hidden = max(1, channels // squeeze)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        factor = self.expand(self.relu(self.reduce(self.pool(x))))  # [N, C, 1, 1]
        return x * self.sigmoid(factor)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A padded 3x3 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def check_count(argument: str, value: int) -> None:
    """Refuse what is not a whole number of 1 or more.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{argument}: {value!r} must be a whole number, 1 or more")


def initialise(net: nn.Module) -> None:
    """He's normal initialisation of the convolutions; the rest is PyTorch's own."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
