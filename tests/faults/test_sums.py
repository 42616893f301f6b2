"""Sums of several branches, in any order and however they are nested: gates close branches, never the shortcut."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from agreement import file_agrees, gated_like, reference_agrees, run
from torch import Tensor, nn

import sluicegate as sg


def branch(layers: int) -> nn.Sequential:
    parts = [part for _ in range(layers) for part in (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))]
    return nn.Sequential(*parts)


class Net(nn.Module):
    """A stem, a block that the test writes, a head."""

    def __init__(self, compute: Callable[["Net", Tensor], Tensor], f: int, g: int) -> None:
        super().__init__()
        self.compute = compute
        self.stem, self.f, self.g, self.fc = nn.Conv2d(3, 8, 3, padding=1), branch(f), branch(g), nn.Linear(8, 4)

    def head(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.compute(self, self.stem(x)))


def net(compute: Callable[[Net, Tensor], Tensor], f: int, g: int) -> Net:
    torch.manual_seed(0)
    made = Net(compute, f, g)
    run(made.train(), IMAGES)
    return made.eval()


def all_closed(gated: sg.GatedModel) -> Tensor:
    gated.strategy = sg.Threshold(1 - 1e-9)
    with torch.no_grad():
        return gated(IMAGES)


IMAGES = torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(1))

FLAT: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "x + f + g": lambda n, x: x + n.f(x) + n.g(x),
    "f + x + g": lambda n, x: n.f(x) + x + n.g(x),
    "f + g + x": lambda n, x: n.f(x) + n.g(x) + x,
    "x + (f + g)": lambda n, x: x + (n.f(x) + n.g(x)),
    "sum of a list": lambda n, x: sum([n.f(x), x, n.g(x)]),  # type: ignore[arg-type,return-value]
}


@pytest.mark.cases(5)
@pytest.mark.parametrize("f, g", [(2, 1), (1, 2), (1, 1)])
@pytest.mark.parametrize("compute", FLAT.values(), ids=FLAT)
def test_closing_all_branches_leaves_the_identity(
    compute: Callable[[Net, Tensor], Tensor], f: int, g: int, tmp_path: Path
) -> None:
    plain = net(compute, f, g)
    gated = gated_like(plain, sg.LayerGating(), IMAGES)
    assert sorted(gated.sites) == ["f", "g"]
    file_agrees(gated, IMAGES, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(all_closed(gated), plain.head(plain.stem(IMAGES)), rtol=0, atol=1e-5)


def test_without_an_identity_the_shortest_branch_stays(tmp_path: Path) -> None:
    plain = net(lambda n, x: n.f(x) + n.g(x), 2, 1)
    gated = gated_like(plain, sg.LayerGating(), IMAGES)
    assert list(gated.sites) == ["f"]
    file_agrees(gated, IMAGES, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(all_closed(gated), plain.head(plain.g(plain.stem(IMAGES))), rtol=0, atol=1e-5)


def test_a_value_that_is_added_twice_is_no_branch(tmp_path: Path) -> None:
    plain = net(lambda n, x: x + n.f(x) + x, 2, 1)
    gated = gated_like(plain, sg.LayerGating(), IMAGES)
    assert list(gated.sites) == ["f"]
    file_agrees(gated, IMAGES, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(all_closed(gated), plain.head(2 * plain.stem(IMAGES)), rtol=0, atol=1e-5)


NESTED: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "x + f(x + g(x))": lambda n, x: x + n.f(x + n.g(x)),
    "x + relu(x + f(x))": lambda n, x: x + torch.relu(x + n.f(x)),
    "g(x) + relu(x + f(x))": lambda n, x: n.g(x) + torch.relu(x + n.f(x)),
    "x + g(x + f(x)) / 5": lambda n, x: x + n.g(x + n.f(x)) * 0.2,
    "y + g(y), y = x + f(x)": lambda n, x: (lambda y: y + n.g(y))(x + n.f(x)),
}


@pytest.mark.cases(4)
@pytest.mark.parametrize("gating", [sg.LayerGating(), sg.JointGating()], ids=["layers", "joint"])
@pytest.mark.parametrize("compute", NESTED.values(), ids=NESTED)
def test_a_branch_in_a_closed_branch_does_not_run(
    compute: Callable[[Net, Tensor], Tensor], gating: Any, tmp_path: Path
) -> None:
    gated = gated_like(net(compute, 2, 1), gating, IMAGES)
    file_agrees(gated, IMAGES, tmp_path)
    reference_agrees(gated, IMAGES)


def test_the_work_of_nested_branches_is_that_of_open_ones() -> None:
    gated = sg.gate_model(net(lambda n, x: x + n.f(x + n.g(x)), 2, 1), sg.LayerGating(), IMAGES).eval()
    _, gates = gated(IMAGES, return_gates=True)
    assert len(gates) == 2
    outer, inner = next(name for name in gates if name != "g"), "g"
    conv = 36 * 9 * 8 * 8
    for is_open, convolutions in (((0, 0), 0), ((0, 1), 0), ((1, 0), 2), ((1, 1), 3)):
        opens = dict(zip((outer, inner), is_open, strict=True))
        decided = sg.GateRecords({n: r._replace(open=torch.full_like(r.open, opens[n])) for n, r in gates.items()})
        terms = gated.macs.macs_by_module(decided)
        assert sum(int(macs[0]) for name, macs in terms.items() if name.startswith(("f.", "g."))) == convolutions * conv


def test_layer_gates_in_a_network_without_blocks_keep_all_records(tmp_path: Path) -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for i in range(7):
                self.add_module(f"conv{i}", nn.Conv2d(8 if i else 3, 8, 3, padding=1))
            self.fc = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            layers = dict(self.named_children())
            x = layers["conv0"](x)
            for i in (1, 3, 5):
                x = x + layers[f"conv{i + 1}"](torch.relu(layers[f"conv{i}"](x)))
            return self.fc(x.mean((2, 3)))

    torch.manual_seed(0)
    gated = gated_like(Flat(), [sg.LayerGating(), sg.ChannelGating(["mid", "out", "inp"])], IMAGES)
    assert len(gated.sites) == 3 * 4 and len(gated(IMAGES, return_gates=True).gates) == 3 * 4
    file_agrees(gated, IMAGES, tmp_path)


class Expression(nn.Module):
    """A random expression of convolutions, norms, activations and sums, nested up to three deep."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        torch.manual_seed(seed)
        self.parts = nn.ModuleList()
        self.stem, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4)
        self.plan = self._plan(3)

    def _plan(self, depth: int) -> tuple[Any, ...]:
        kind = self.random.choice(("x + f", "x + f", "f + g", "g(f)", "relu", "three", "leaf")) if depth else "leaf"
        if kind == "leaf":
            self.parts.append(nn.Sequential(*self._layers()))
            return kind, len(self.parts) - 1
        of = {"x + f": 1, "relu": 1}.get(kind, 2)
        return kind, *(self._plan(depth - 1) for _ in range(of)), self.random.randrange(4)

    def _layers(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.random.randint(1, 2)):
            layers.append(nn.Conv2d(6, 6, self.random.choice((1, 3)), padding="same", bias=self.random.random() < 0.7))
            layers += [part for part in (nn.BatchNorm2d(6), nn.ReLU()) if self.random.random() < 0.6]
        return layers

    def _evaluate(self, plan: tuple[Any, ...], x: Tensor) -> Tensor:
        kind, first, *rest = plan
        if kind == "leaf":
            return self.parts[first](x)
        a = self._evaluate(first, x)
        if kind == "x + f":
            return x + a if rest[0] % 2 else a + x
        if kind == "relu":
            return torch.relu(a)
        if kind == "g(f)":
            return self._evaluate(rest[0], a)
        b = self._evaluate(rest[0], x)
        return a + b if kind == "f + g" else (x + a + b, a + b + x, x + (a + b), a + (x + b))[rest[1]]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self._evaluate(self.plan, self.stem(x)).mean((2, 3)))


GATINGS = {
    "layers": sg.LayerGating(),
    "joint": sg.JointGating(sg.ChannelGating("all", keep_open=1)),
    "both": [sg.LayerGating(), sg.ChannelGating(["out", "inp"])],
}


@pytest.mark.cases(4)
@pytest.mark.parametrize("gating", GATINGS.values(), ids=GATINGS)
@pytest.mark.parametrize("seed", [5, 14, 45, 54])
def test_random_sums_are_computed_and_counted_right(seed: int, gating: Any, tmp_path: Path) -> None:
    plain = Expression(seed)
    run(plain.train(), IMAGES)
    gated = gated_like(plain, gating, IMAGES)
    file_agrees(gated, IMAGES, tmp_path)
    reference_agrees(gated, IMAGES)
