r"""Parts of gates that share a recurrent state: SkipNet's.

Legend: N images, C channels, H W pixels, F features, D hidden neurons.

    feature_b     = W_b mean_HW(x_b) + bias_b            a linear layer of each gate's own
    [h_b; c_b]    = LSTM(feature_b, [h_{b-1}; c_{b-1}])   one cell for all, h_0 = c_0 = 0
    logit_b       = w h_b + bias                         one linear layer for all

Source: SkipNet (Wang et al., ECCV 2018) and its published code, where F = D = 10. Each part is a node of the network's
graph, and the state is a value of the graph, so no module keeps state.
"""

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError
from sluicegate.gates.heads import pool


class PooledFeatures(nn.Module):
    """Global average pool, then linear: [N, C, H, W] -> [N, F]."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(pool(x))  # type: ignore[no-any-return]


class LstmCell(nn.Module):
    """An LSTM's step: [N, F] and the state [h; c], [N, 2 D], of the step before (zeros without) -> the state.

    Args:
        features: F.
        hidden: D.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        if min(features, hidden) < 1:
            raise InputError(f"hidden: {hidden} neurons for {features} features; both must be at least 1")
        self.cell = nn.LSTMCell(features, hidden)

    def forward(self, features: Tensor, state: Tensor | None = None) -> Tensor:
        return torch.cat(self.cell(features, None if state is None else state.chunk(2, dim=1)), dim=1)


def hidden_of(state: Tensor) -> Tensor:
    """[N, 2 D] -> [N, D]: h of the state [h; c]."""
    return state[:, : state.shape[1] // 2]
