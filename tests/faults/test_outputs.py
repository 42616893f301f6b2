"""Networks of several outputs: all of them are in the file, under the network's own names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from agreement import agrees, file_agrees, refused
from torch import Tensor, nn

import sluicegate as sg


class Seen(NamedTuple):
    age: Tensor
    sex: Tensor


class TwoHeads(nn.Module):
    """A residual trunk, and what `give` makes of its last map and two heads."""

    def __init__(self, give: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.give = give
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 8, 3, padding=1))
        self.age, self.sex = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        x = x + self.body(x)
        pooled = x.mean((2, 3))
        return self.give(x, self.age(pooled), self.sex(pooled))


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def two_heads(give: Callable[[Tensor, Tensor, Tensor], Any]) -> nn.Module:
    torch.manual_seed(0)
    return TwoHeads(give)


GIVEN: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Any], list[str]]] = {
    "a tuple": (lambda x, age, sex: (age, sex), ["0", "1"]),
    "a list": (lambda x, age, sex: [sex, age], ["0", "1"]),
    "a dictionary": (lambda x, age, sex: {"age": age, "sex": sex}, ["age", "sex"]),
    "a named tuple": (lambda x, age, sex: Seen(age, sex), ["age", "sex"]),
    "a named tuple by name": (lambda x, age, sex: Seen(sex=sex, age=age), ["age", "sex"]),
    "a tuple of one": (lambda x, age, sex: (age,), ["0"]),
    "a map and a vector": (lambda x, age, sex: {"features": x, "age": age}, ["features", "age"]),
    "one value twice": (lambda x, age, sex: (age, age), ["0", "1"]),
}


@pytest.mark.cases(6)
@pytest.mark.parametrize("give, names", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("gating", [sg.ChannelGating(), sg.LayerGating()], ids=["channels", "layers"])
def test_every_output_is_in_the_file(
    give: Callable[[Tensor, Tensor, Tensor], Any], names: list[str], gating: Any, tmp_path: Path
) -> None:
    agrees(two_heads(give), images(), tmp_path, gating)
    result = file_agrees(two_heads(give).eval(), images(), tmp_path)
    assert list(result.outputs) == names


def test_gates_and_outputs_may_share_a_name(tmp_path: Path) -> None:
    agrees(two_heads(lambda x, age, sex: {"body": age, "body.0": sex}), images(), tmp_path, sg.JointGating())


@pytest.mark.parametrize(
    "give, why",
    [
        (lambda x, age, sex: {"age": age, "both": (age, sex)}, "its output 'both' is tuple"),
        (lambda x, age, sex: (age, None), "its output '1' is NoneType"),
        (lambda x, age, sex: (age, 3), "its output '1' is int"),
        (lambda x, age, sex: None, "it returns nothing"),
        (lambda x, age, sex: {1: age, "1": sex}, "it returns two outputs '1'"),
        (lambda x, age, sex: (age, x.permute(0, 2, 3, 1)), "as '1'"),
    ],
)
def test_what_is_no_tensor_of_the_engine_is_refused(give: Any, why: str, tmp_path: Path) -> None:
    assert why in refused(two_heads(give), images(), tmp_path)
