"""Products however they are spelled: each is counted, or refused in one line; none is left out in silence."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sluicegate as sg

Sides = tuple[int, ...]


class Do(nn.Module):
    """A function of the input and a weight."""

    def __init__(self, weight: Sides, compute: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.compute = nn.Parameter(torch.rand(weight)), compute

    def forward(self, x: Tensor) -> Any:
        return self.compute(x, self.weight)


FUNCTIONS: dict[str, tuple[Sides, Sides, Callable[[Tensor, Tensor], Any], int]] = {
    "conv_transpose1d": ((4, 6, 3), (4, 8), lambda x, w: F.conv_transpose1d(x, w), 4 * 6 * 3 * 8),
    "conv_transpose2d": ((4, 6, 3, 3), (4, 8, 8), lambda x, w: F.conv_transpose2d(x, w, stride=2), 4 * 6 * 9 * 64),
    "in groups": ((4, 3, 3, 3), (4, 8, 8), lambda x, w: F.conv_transpose2d(x, w, groups=2), 4 * 3 * 9 * 64),
    "conv_transpose3d": ((4, 6, 3, 3, 3), (4, 4, 4, 4), lambda x, w: F.conv_transpose3d(x, w), 4 * 6 * 27 * 64),
    "conv1d": ((6, 4, 3), (4, 8), lambda x, w: F.conv1d(x, w), 6 * 4 * 3 * 6),
    "conv3d": ((6, 4, 3, 3, 3), (4, 4, 4, 4), lambda x, w: torch.conv3d(x, w), 6 * 4 * 27 * 8),
    "mm": ((48, 16), (48,), torch.mm, 48 * 16),
    "a method": ((48, 16), (48,), lambda x, w: x.mm(w), 48 * 16),
    "an operator": ((16, 48), (48, 3), lambda x, w: w @ x, 48 * 16 * 3),
    "matmul": ((16, 48), (48, 10), lambda x, w: torch.matmul(w, x), 16 * 48 * 10),
    "linalg.matmul": ((48, 16), (48,), torch.linalg.matmul, 48 * 16),
    "mv": ((16,), (4, 16), lambda x, w: torch.mv(x.view(-1, 16), w).view(-1, 4), 4 * 16),
    "addmm": ((48, 16), (48,), lambda x, w: torch.addmm(w.sum(0), x, w), 48 * 16),
    "addmm by keywords": ((48, 16), (48,), lambda x, w: torch.addmm(input=w.sum(0), mat1=x, mat2=w), 48 * 16),
    "two products": ((48, 16), (48,), lambda x, w: x.mm(w).addmm(x, w), 2 * 48 * 16),
    "addmv": ((16,), (16,), lambda x, w: torch.addmv(w[:1], x, w), 16),
    "baddbmm": (
        (1, 48, 16),
        (4, 48),
        lambda x, w: torch.baddbmm(w[:, :1], x, w.expand(x.shape[0], -1, -1)),
        4 * 48 * 16,
    ),
    "einsum": ((48, 16), (48,), lambda x, w: torch.einsum("nc,ck->nk", x, w), 48 * 16),
    "einsum of two values": ((1,), (4, 8, 8), lambda x, w: torch.einsum("nchw,ndhw->ncd", x, x), 4 * 4 * 64),
    "multi_dot": ((48, 16), (48,), lambda x, w: torch.linalg.multi_dot([x, w]), 48 * 16),
    "tensordot": ((48, 16), (48,), lambda x, w: torch.tensordot(x, w, 1), 48 * 16),
    "inner": ((16, 48), (48,), torch.inner, 48 * 16),
    "unfold": ((16, 36), (4, 8, 8), lambda x, w: w @ F.unfold(x, 3), 16 * 36 * 36),
    "attention": ((1,), (2, 5, 8), lambda x, w: F.scaled_dot_product_attention(x, x, x), 2 * (2 * 5 * 5 * 8)),
    "a computed weight": ((16, 48), (48,), lambda x, w: F.linear(x, 2 * w), 16 * 48),
    "a weight that the image makes": ((16, 48), (48,), lambda x, w: F.linear(x, w * x.mean()), 16 * 48),
    "in place": ((1,), (4, 4), lambda x, w: x.clone().baddbmm_(x, x), 4 * 4 * 4),
    "a scale": ((4, 1, 1), (4, 8, 8), lambda x, w: x * w, 0),
    "a position": ((4, 8, 8), (4, 8, 8), lambda x, w: x + w, 0),
    "an embedding": ((10, 4), (3,), lambda x, w: F.embedding(x.long(), w), 0),
}


@pytest.mark.cases(8)
@pytest.mark.parametrize("weight, shape, compute, macs", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_is_counted(
    weight: Sides, shape: Sides, compute: Callable[[Tensor, Tensor], Any], macs: int
) -> None:
    assert sg.MacModel(Do(weight, compute), torch.zeros(1, *shape)).dense == macs


class First(nn.Module):
    """The first of what a module makes of the same input, given several times."""

    def __init__(self, module: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.module, self.times = module, times

    def forward(self, x: Tensor) -> Tensor:
        made = self.module(*[x] * self.times)
        return made[0] if isinstance(made, tuple) else made


MODULES: dict[str, tuple[nn.Module, Sides, int]] = {
    "LSTM": (First(nn.LSTM(6, 5, batch_first=True)), (7, 6), 7 * 4 * 5 * (6 + 5)),
    "GRU": (First(nn.GRU(6, 5, batch_first=True)), (7, 6), 7 * 3 * 5 * (6 + 5)),
    "RNN": (First(nn.RNN(6, 5, batch_first=True)), (7, 6), 7 * 5 * (6 + 5)),
    "LSTMCell": (First(nn.LSTMCell(6, 5)), (6,), 4 * 5 * (6 + 5)),
    "attention": (First(nn.MultiheadAttention(8, 2, batch_first=True), 3), (5, 8), 5 * 4 * 64 + 2 * 5 * 5 * 8),
    "transformer": (First(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), (5, 8),
                    5 * 4 * 64 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16),
    "ConvTranspose1d": (First(nn.ConvTranspose1d(4, 6, 3)), (4, 8), 4 * 6 * 3 * 8),
    "ConvTranspose3d": (First(nn.ConvTranspose3d(4, 6, 3)), (4, 4, 4, 4), 4 * 6 * 27 * 64),
    "Conv3d": (nn.Conv3d(4, 6, 3), (4, 4, 4, 4), 4 * 6 * 27 * 8),
    "a circular Conv2d": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (4, 8, 8), 4 * 6 * 9 * 64),
    "a linear layer at each place": (nn.Linear(8, 3), (2, 5, 8), 2 * 5 * 8 * 3),
    "LayerNorm": (nn.LayerNorm(8), (5, 8), 0),
}  # fmt: skip


@pytest.mark.parametrize("module, shape, macs", MODULES.values(), ids=MODULES)
def test_a_module_is_counted(module: nn.Module, shape: Sides, macs: int) -> None:
    assert sg.MacModel(module, torch.zeros(1, *shape)).dense == macs


def test_a_table_of_words_costs_nothing() -> None:
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    assert sg.MacModel(net, torch.zeros(1, 5, dtype=torch.long)).dense == 5 * 4 * 3


REFUSED: dict[str, tuple[Sides, Sides, Callable[[Tensor, Tensor], Any]]] = {
    "bilinear": ((5, 4, 6), (10,), lambda x, w: F.bilinear(x[:, :4], x[:, 4:], w)),
    "cdist": ((5, 48), (48,), torch.cdist),
    "kron": ((2, 2), (4,), torch.kron),
    "outer": ((4,), (4,), lambda x, w: torch.outer(x.flatten(), w)),
    "linalg_solve": ((48, 48), (48,), lambda x, w: torch.linalg.solve(w, x.unsqueeze(-1))),
    "grid_sample": ((1, 2, 2, 2), (4, 8, 8), 
                    lambda x, w: F.grid_sample(x, w.expand(x.shape[0], -1, -1, -1), align_corners=False)),
    "fft_rfft": ((1,), (64,), lambda x, w: torch.fft.rfft(x).abs()),
}  # fmt: skip


@pytest.mark.parametrize("name, weight, shape, compute", [(name, *rest) for name, rest in REFUSED.items()])
def test_what_has_no_formula_is_refused(
    name: str, weight: Sides, shape: Sides, compute: Callable[[Tensor, Tensor], Any]
) -> None:
    with pytest.raises(sg.InputError, match=rf"^net: no MAC formula for '{name}"):
        sg.MacModel(Do(weight, compute), torch.zeros(1, *shape))
    with pytest.raises(sg.InputError, match=r"^net: no MAC formula for '0.module': torch.nn.modules.linear.Bilinear"):
        sg.MacModel(nn.Sequential(First(nn.Bilinear(4, 4, 2), 2)), torch.zeros(1, 4))


@pytest.mark.parametrize("compute", [lambda x, w: F.linear(x, x), lambda x, w: x @ x.T])
def test_work_that_does_not_grow_with_the_images_is_refused(compute: Callable[[Tensor, Tensor], Any]) -> None:
    with pytest.raises(sg.InputError, match="does not grow in step with the number of images"):
        sg.MacModel(Do((1,), compute), torch.zeros(1, 8))


def test_an_unknown_layer_in_a_gated_branch_is_work_of_that_branch() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
            self.lstm = nn.LSTM(8, 8, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            rows, _ = self.lstm(self.conv(x).flatten(2).transpose(1, 2))
            return x + rows.transpose(1, 2).reshape(x.shape)

    gated = sg.gate_model(Recurrent(), sg.LayerGating(), torch.zeros(1, 3, 4, 4)).eval()
    gated.strategy = sg.Threshold(1 - 1e-6)
    _, gates = gated(torch.randn(2, 3, 4, 4), return_gates=True)
    branch = 16 * 8 * 8 + 16 * 4 * 8 * 16
    assert gated.macs.dense == 16 * 9 * 3 * 8 + branch
    head = gated.macs.macs_by_module(gates)
    assert gated.macs(gates).tolist() == [16 * 9 * 3 * 8 + int(sum(v[0] for k, v in head.items() if "gates" in k))] * 2
