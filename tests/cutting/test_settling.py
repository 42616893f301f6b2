"""Which gates do the same for every image."""

import pytest
import torch
from torch import nn

import sluicegate as sg
from sluicegate.costs import ALWAYS_CLOSED, ALWAYS_OPEN, BY_IMAGE
from sluicegate.cutting import settled_gates
from sluicegate.nets import build_net

EXAMPLE = torch.zeros(1, 3, 16, 16)


def _gated(**options) -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net("resnet8"), sg.ChannelGating(**options), EXAMPLE).eval()


def _by_brightness(gated: sg.GatedModel) -> str:
    """Of the first site gate 0 never opens, gate 1 does for bright images, all others always; returns its name."""
    (gate, *_) = gated.gates.values()
    head = gate.head
    assert isinstance(head, sg.PooledHead)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    (output,) = head.outputs
    assert isinstance(output, nn.Linear)
    with torch.no_grad():
        output.bias.fill_(1.0)
        output.bias[:2] = torch.tensor([-1.0, -1.0])
        head.hidden.weight.fill_(1.0)
        output.weight[1] = 10.0
    return gate.sites[0].name


def test_shares_of_images() -> None:
    gated = _gated()
    site = _by_brightness(gated)
    images = torch.zeros(10, 3, 16, 16)
    with torch.no_grad():
        logits = gated(torch.cat([images, images + 1e6]), return_gates=True).gates[site].logits[:, 1]
    assert logits[:10].lt(0).all() or logits[10:].gt(0).all()
    bright = torch.cat([images[:9], images[:1] + 1e6]) if logits[0] < 0 < logits[10] else images
    for share, expected in ((1.0, BY_IMAGE), (0.9, ALWAYS_CLOSED)):
        does = settled_gates(gated, bright, share)[site]
        assert does.tolist() == [ALWAYS_CLOSED, expected, *[ALWAYS_OPEN] * (len(does) - 2)]


def test_without_images_only_learned_logits_are_known() -> None:
    assert all((does == BY_IMAGE).all() for does in settled_gates(_gated()).values())
    gated = _gated(head=sg.LearnedLogits)
    for parameter in gated.gate_parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        gates = gated(EXAMPLE, return_gates=True).gates
    assert {name: record.open[0].int().tolist() for name, record in gates.items()} == {
        name: does.tolist() for name, does in settled_gates(gated).items()
    }


def test_what_stands_in_a_closed_layer_is_closed() -> None:
    gating = [sg.LayerGating(head=sg.LearnedLogits), sg.ChannelGating()]
    gated = sg.gate_model(build_net("resnet8"), gating, EXAMPLE).eval()
    for name, parameter in gated.named_parameters():
        if "outputs.0.values" in name:
            with torch.no_grad():
                parameter.copy_(torch.tensor([1.0, -1.0]))
    assert all((does == ALWAYS_CLOSED).all() for does in settled_gates(gated).values())
    torch.testing.assert_close(sg.prune(gated)(EXAMPLE), gated(EXAMPLE))


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gated: sg.prune(gated), "gates decide by the image"),
        (lambda gated: sg.prune(gated, EXAMPLE, share=0.4), r"share: 0.4 must lie in \[0.5, 1\]"),
        (lambda gated: sg.prune(gated, EXAMPLE[:0]), "images: none"),
        (lambda gated: sg.prune_settled(gated, EXAMPLE), "use prune"),
        (lambda gated: sg.prune(gated, EXAMPLE, outputs=[3, 10]), r"outputs: 10 is not in 0..9"),
        (lambda gated: sg.prune(gated, EXAMPLE, outputs=[3, 1]), "rising order"),
        (lambda gated: setattr(gated, "strategy", sg.Stochastic()) or sg.prune(gated), "decide by chance"),
    ],
)
def test_refusals(change, message: str) -> None:
    with pytest.raises(sg.InputError, match=message):
        change(_gated())


def test_gates_that_are_compared_do_not_settle() -> None:
    gated = _gated(head=sg.SaliencyHead, estimator=sg.TopK(0.5))
    with pytest.raises(sg.InputError, match="chosen by comparison"):
        sg.prune(gated, EXAMPLE)
