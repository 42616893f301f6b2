"""Weights of a fused layer, in float64: norms and scales folded in.

Legend: C input channels, O output channels, k kernel.
"""

import torch
from torch import Tensor, nn

from sluicegate.lowering.fusion import Fused
from sluicegate.ops import call_of
from sluicegate.ops.channel_affine import scale_and_shift


def folded_weights(root: nn.Module, fused: Fused) -> tuple[Tensor, Tensor | None]:
    """Weight [O, C / groups, kh, kw] or [O, C], and bias [O]; of a norm alone [C, 1, 1, 1]."""
    weight, bias = _own(root, fused)
    for node in fused.folded:
        call = call_of(node)
        assert call is not None
        if call.kind == "difference":
            weight, bias = weight[1::2] - weight[::2], None if bias is None else bias[1::2] - bias[::2]
            continue
        if call.kind == "affine":
            scale = weight.new_full((len(weight),), call.attributes["scale"])
            shift = weight.new_full((len(weight),), call.attributes["shift"])
            shifts = call.attributes["shift"] != 0
        else:
            scale, shift = (part.double().to(weight.device) for part in scale_and_shift(root, call))
            shifts = True  # for any values: the form of a program does not depend on the learned weights
        weight = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
        if bias is not None or shifts:
            bias = shift if bias is None else bias * scale + shift
    return weight, bias


def _own(root: nn.Module, fused: Fused) -> tuple[Tensor, Tensor | None]:
    call = call_of(fused.head)
    assert call is not None
    if call.kind == "channel_affine":
        scale, shift = (part.double() for part in scale_and_shift(root, call))
        return scale[:, None, None, None], shift
    weight = call.tensors["weight"].read(root).detach().double()
    weight = weight.unsqueeze(2) if weight.dim() == 3 else weight  # a convolution along a line
    bias = call.tensors.get("bias")
    return weight, None if bias is None else bias.read(root).detach().double()


def as_tensors(weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    """By role."""
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias.to(torch.float64)}
