"""In-place ops: who reads the operand later, or a view of it, reads what torch's memory says; or one line refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from agreement import agrees, file_agrees, refused, run
from torch import Tensor, nn

import sluicegate as sg


class Unit(nn.Module):
    """A residual unit that the test writes."""

    def __init__(self, compute: Callable[["Unit", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.0, inplace=True)
        self.scale = nn.Parameter(torch.rand(1, 8, 1, 1))
        self.compute = compute

    def branch(self, x: Tensor) -> Tensor:
        return self.second(self.relu(self.first(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def network(compute: Callable[[Unit, Tensor], Tensor]) -> nn.Sequential:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Unit(compute), Unit(compute), *head)


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def module_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    out = unit.relu(x)
    return unit.branch(out) + x


def function_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    out = F.relu(x, inplace=True)
    return unit.branch(out) + x


def positional_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    return unit.branch(F.relu6(x, True)) + x


def method_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    return unit.branch(x.relu_()) + x


def result_thrown_away(unit: Unit, x: Tensor) -> Tensor:
    unit.relu(x)
    return unit.branch(x) + x


def sum_into_the_branch(unit: Unit, x: Tensor) -> Tensor:
    out = unit.branch(x)
    out += x
    return unit.relu(out)


def sum_into_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    y = x
    x += unit.branch(x)
    return unit.relu(y)


def sum_by_a_method_twice_read(unit: Unit, x: Tensor) -> Tensor:
    z = x.add_(unit.branch(x))
    return z + x


def numbers_and_names(unit: Unit, x: Tensor) -> Tensor:
    a = x
    a += 1
    b = unit.relu(a)
    b *= 0.5
    return unit.branch(a) + x


def scaled_branch(unit: Unit, x: Tensor) -> Tensor:
    out = unit.branch(x)
    out *= unit.scale
    out.div_(2)
    return x + out


def dropout_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    y = unit.drop(x)
    unit.relu(y)
    return unit.branch(y) + x


def functional_dropout_on_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    y = F.dropout(x, 0.0, unit.training, inplace=True)
    return unit.branch(unit.relu(y)) + x


def copy_first(unit: Unit, x: Tensor) -> Tensor:
    return unit.branch(x.clone().relu_()) + x


def clamped(unit: Unit, x: Tensor) -> Tensor:
    y = unit.first(x)
    y.clamp_(min=0)
    return unit.second(y) + x


RIGHT = [module_on_the_shortcut, function_on_the_shortcut, positional_on_the_shortcut, method_on_the_shortcut,
         result_thrown_away, sum_into_the_branch, sum_into_the_shortcut, sum_by_a_method_twice_read, numbers_and_names,
         scaled_branch, dropout_on_the_shortcut, functional_dropout_on_the_shortcut, copy_first, clamped]  # fmt: skip


@pytest.mark.cases(5)
@pytest.mark.parametrize("compute", RIGHT, ids=lambda f: f.__name__)
def test_later_readers_read_what_was_written(compute: Callable[[Unit, Tensor], Tensor], tmp_path: Path) -> None:
    gated = agrees(network(compute), IMAGES, tmp_path, sg.JointGating())
    assert {site.kind for site in gated.sites.values()} == {"layer", "channel"}


def product_into_the_shortcut(unit: Unit, x: Tensor) -> Tensor:
    x.mul_(torch.sigmoid(unit.branch(x)))
    return x * 2


def other_half_of_a_chunk(unit: Unit, x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    b = unit.relu(b)
    return unit.branch(torch.cat([b, a], 1))


@pytest.mark.parametrize("compute", [product_into_the_shortcut, other_half_of_a_chunk], ids=lambda f: f.__name__)
def test_the_file_of_a_plain_network_too(compute: Callable[[Unit, Tensor], Tensor], tmp_path: Path) -> None:
    file_agrees(network(compute).eval(), IMAGES, tmp_path)


def view_read_later(unit: Unit, x: Tensor) -> Tensor:
    view = x.view(x.size(0), 8, -1)
    return unit.branch(unit.relu(x)) + view.view(x.shape)


def written_through_a_view(unit: Unit, x: Tensor) -> Tensor:
    x.view(x.size(0), 8, -1).relu_()
    return unit.branch(x) + x


def written_through_a_chunk(unit: Unit, x: Tensor) -> Tensor:
    x.chunk(2, 1)[0].relu_()
    return unit.branch(x) + x


def chunks_of_what_is_written(unit: Unit, x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    x.relu_()
    return unit.branch(x) + torch.cat([a, b], 1)


def same_memory_by_another_name(unit: Unit, x: Tensor) -> Tensor:
    x.float().contiguous().relu_()
    return unit.branch(x) + x


def detached(unit: Unit, x: Tensor) -> Tensor:
    x.detach().relu_()
    return unit.branch(x) + x


def spread(unit: Unit, x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    everywhere = mean.expand_as(x)
    mean.sigmoid_()
    return unit.branch(x) * everywhere + x


@pytest.mark.parametrize(
    "compute",
    [view_read_later, written_through_a_view, written_through_a_chunk, chunks_of_what_is_written,
     same_memory_by_another_name, detached, spread],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_shared_memory_that_is_read_later_is_refused(compute: Callable[[Unit, Tensor], Tensor], tmp_path: Path) -> None:
    line = refused(network(compute), IMAGES, tmp_path)
    assert "writes into memory that" in line and "read later, shares" in line
    with pytest.raises(sg.InputError, match="writes into memory that"):
        sg.gate_model(network(compute), sg.LayerGating(), IMAGES)


def filled(unit: Unit, x: Tensor) -> Tensor:
    y = unit.first(x)
    y.copy_(x)
    return unit.second(y) + x


def by_out(unit: Unit, x: Tensor) -> Tensor:
    y = unit.first(x)
    torch.mul(y, 2, out=y)
    return unit.second(y) + x


@pytest.mark.parametrize("compute", [filled, by_out], ids=lambda f: f.__name__)
def test_what_cannot_be_made_pure_is_refused(compute: Callable[[Unit, Tensor], Tensor], tmp_path: Path) -> None:
    assert "writes into '1.first', which is read later" in refused(network(compute), IMAGES, tmp_path)


def part_assigned(unit: Unit, x: Tensor) -> Tensor:
    y = unit.first(x)
    y[:, :2] = 0
    return unit.second(y) + x


def part_added(unit: Unit, x: Tensor) -> Tensor:
    y = unit.first(x)
    y[:, :2] += 1
    return unit.second(y) + x


@pytest.mark.parametrize("compute", [part_assigned, part_added], ids=lambda f: f.__name__)
def test_a_part_that_is_written_is_refused(compute: Callable[[Unit, Tensor], Tensor], tmp_path: Path) -> None:
    assert "'1' cannot be exported: it writes into a part of a value" in refused(network(compute), IMAGES, tmp_path)


def test_counting_in_a_buffer_is_refused() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.calls = nn.Buffer(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return self.conv(x)

    with pytest.raises(sg.InputError, match=r"writes into 'calls', which a graph would not keep"):
        sg.MacModel(Counting(), IMAGES)


def test_reading_a_network_leaves_it_as_it_is(tmp_path: Path) -> None:
    net = network(module_on_the_shortcut).eval()
    before = run(net, IMAGES)
    sg.MacModel(net, IMAGES)
    sg.gate_model(net, sg.LayerGating(), IMAGES)
    sg.export(net, tmp_path / "net.sluice", IMAGES)
    assert torch.equal(run(net, IMAGES), before)
    assert all(module.inplace for module in net.modules() if isinstance(module, nn.ReLU))
