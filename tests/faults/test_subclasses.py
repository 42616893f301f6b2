"""Subclasses with a forward of their own, and hooks: computed as their authors wrote them, or refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from agreement import agrees, file_agrees, gated_like, one_line, refused, run
from torch import Tensor, nn

import sluicegate as sg

Module = Callable[..., nn.Module]


class StandardisedConv(nn.Conv2d):
    """timm's StdConv2d: the weight is standardised as a batch norm would do it."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class HalfConv(nn.Conv2d):
    """Overrides what `forward` calls, not `forward`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight / 2, bias)


class WholeConv(nn.Conv2d):
    """detectron2's: the norm and the activation inside."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **options: Any) -> None:
        super().__init__(inputs, outputs, kernel, **options)
        self.norm, self.activation = nn.BatchNorm2d(outputs), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(super().forward(x)))


class WholeConvTwice(WholeConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0.5


class ActivatedNorm(nn.BatchNorm2d):
    """ABN: a norm that ends in an activation."""

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(input), 0.1)


class UncheckedNorm(nn.BatchNorm2d):
    """Takes any rank, as those of point clouds do."""

    def _check_input_dim(self, input: Tensor) -> None:
        return


class HelpedLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return self._something(input)

    def _something(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class DoubledLinear(HelpedLinear):
    def _something(self, x: Tensor) -> Tensor:
        return 2 * super()._something(x)


class DoubledReLU(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class ShiftedPool(nn.MaxPool2d):
    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input)) * 2  # type: ignore[arg-type]


class CosineLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 16 * F.linear(F.normalize(input), F.normalize(self.weight))


class Residual(nn.Module):
    def __init__(self, conv: Module, norm: Module, act: Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(8, 8, 3, padding=1, bias=False), norm(8), act(), conv(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residual_net(
    conv: Module = nn.Conv2d, norm: Module = nn.BatchNorm2d, act: Module = nn.ReLU, linear: Module = nn.Linear
) -> nn.Sequential:
    torch.manual_seed(0)
    stem = (nn.Conv2d(3, 8, 3, padding=1), norm(8), act())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(8, 5))
    net = nn.Sequential(*stem, Residual(conv, norm, act), Residual(conv, norm, act), *head)
    run(net.train(), images(16))  # statistics that are not trivial
    return net


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


SUBCLASSES = {
    "a standardised convolution": dict(conv=StandardisedConv),
    "a helper of a convolution": dict(conv=HalfConv),
    "a convolution with norm and activation": dict(conv=WholeConv),
    "a subclass of that": dict(conv=WholeConvTwice),
    "a norm with activation": dict(norm=ActivatedNorm),
    "a norm without checks": dict(norm=UncheckedNorm),
    "a helper of a linear layer": dict(linear=HelpedLinear),
    "an overridden helper": dict(linear=DoubledLinear),
    "an activation": dict(act=DoubledReLU),
}


@pytest.mark.cases(2)
@pytest.mark.parametrize("gating", [sg.ChannelGating(), sg.JointGating()], ids=["channels", "joint"])
@pytest.mark.parametrize("parts", SUBCLASSES.values(), ids=SUBCLASSES)
def test_a_subclass_is_computed_as_it_was_written(parts: dict[str, Module], gating: Any, tmp_path: Path) -> None:
    gated = agrees(residual_net(**parts), images(), tmp_path, gating)
    assert len(gated.sites) == (2 if isinstance(gating, sg.ChannelGating) else 4)


def test_a_pool_and_a_container_are_computed_as_they_were_written(tmp_path: Path) -> None:
    class Doubled(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    parts = list(residual_net())
    agrees(Doubled(*parts[:3], ShiftedPool(2), *parts[3:]), images(), tmp_path, sg.JointGating())


def test_the_real_classes_of_timm(tmp_path: Path) -> None:
    layers = pytest.importorskip("timm.layers")
    agrees(residual_net(conv=layers.StdConv2d), images(), tmp_path, sg.ChannelGating())
    agrees(residual_net(norm=layers.BatchNormAct2d), images(), tmp_path, sg.ChannelGating())


def test_what_the_engine_lacks_is_gated_in_torch_and_refused_by_name(tmp_path: Path) -> None:
    net = residual_net(linear=CosineLinear)
    assert gated_like(net, sg.ChannelGating(), images()).sites
    assert "normalize in 7" in refused(net, images(), tmp_path, sg.ChannelGating())


def doubling(*call: Any) -> Tensor:
    return 2 * call[-1]


def test_a_hook_on_an_activation_keeps_its_say_in_torch_and_refuses_the_export(tmp_path: Path) -> None:
    net = residual_net()
    net.get_submodule("3.body.2").register_forward_hook(doubling)
    assert gated_like(net, sg.LayerGating(), images()).sites
    assert "'3.body.2' cannot be exported: it has a hook" in refused(net, images(), tmp_path, sg.LayerGating())


def test_a_hook_on_a_layer_keeps_its_say_too_and_what_it_costs_is_counted(tmp_path: Path) -> None:
    net = residual_net()
    dense = sg.MacModel(net, images()).dense
    net.get_submodule("3.body.0").register_forward_pre_hook(lambda module, inputs: (inputs[0] / 2,))
    assert gated_like(net, sg.LayerGating(), images()).macs.dense == dense
    assert "'3.body.0' cannot be exported: it has a hook" in refused(net, images(), tmp_path)


def test_a_hook_behind_the_gating_keeps_its_say_beside_fused_masks() -> None:
    gated = gated_like(residual_net(), sg.ChannelGating(), images())
    before = run(gated, images())
    gated.network.get_submodule("3.body.2").register_forward_hook(doubling)
    hooked = run(gated, images())
    assert not torch.allclose(hooked, before)
    with torch.no_grad():
        assert torch.equal(hooked, gated.network(images())[0])


@pytest.mark.parametrize("path", ["3.body", "3"])
def test_a_hook_on_a_block_becomes_part_of_the_graph(path: str, tmp_path: Path) -> None:
    net = residual_net()
    net.get_submodule(path).register_forward_hook(doubling)
    agrees(net, images(), tmp_path, sg.JointGating())


def test_a_hook_on_the_network_is_refused(tmp_path: Path) -> None:
    net = residual_net()
    net.register_forward_hook(doubling)
    assert "Sequential has a hook on the whole network" in refused(net, images(), tmp_path)
    with pytest.raises(sg.InputError, match="Sequential has a hook on the whole network"):
        sg.gate_model(net, sg.ChannelGating(), images())


def test_a_forward_that_one_module_was_given_is_computed(tmp_path: Path) -> None:
    net = residual_net().eval()
    conv = net.get_submodule("3.body.0")
    conv.forward = lambda x: 2 * nn.Conv2d.forward(conv, x)  # type: ignore[method-assign,arg-type]
    file_agrees(net, images(), tmp_path)


def test_what_tracing_cannot_see_is_refused_at_once() -> None:
    class Called(nn.Sequential):
        def __call__(self, *inputs: Any) -> Any:
            return 2 * super().__call__(*inputs)

    class Bright(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input * float(input.data.detach().abs().sum() > 1e9))

    with pytest.raises(sg.InputError, match=r"^net: the traced graph of Called computes something else") as called:
        sg.gate_model(Called(*residual_net()), sg.ChannelGating(), images())
    with pytest.raises(sg.InputError, match=r"^net: Bright cannot be traced") as bright:
        sg.gate_model(Bright(*residual_net()), sg.ChannelGating(), images())
    assert one_line(called.value) and one_line(bright.value)
