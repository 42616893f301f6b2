"""Gates that share an LSTM: the state's way through the graph, what they cost, when they start out open."""

import numpy as np
import pytest
import torch
from random_nets import Residual
from torch import fx, nn

import sluicegate as sg
from sluicegate.convert import Gating, Placement
from sluicegate.gates import GateRecords, LstmCell
from sluicegate.lowering import lower
from sluicegate.nets import build_net
from sluicegate_runtime import run_reference

IMAGES = torch.zeros(1, 3, 32, 32)


def _gated(gating: sg.RecurrentGating | None = None, net: str = "resnet14") -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net(net), gating or sg.RecurrentGating(), IMAGES)


def test_logits_are_those_of_one_lstm_over_the_blocks() -> None:
    gated = _gated().eval()
    read: list[torch.Tensor] = []
    for name, module in gated.named_modules():
        if name.endswith("_features.linear"):
            module.register_forward_hook(lambda module, args, output: read.append(output))  # pyright: ignore[reportArgumentType]
    _, gates = gated(torch.randn(3, 3, 32, 32), return_gates=True)
    cell, logit = gated.network.get_submodule("gates.lstm"), gated.network.get_submodule("gates.logit")
    assert isinstance(cell, LstmCell)
    lstm = nn.LSTM(10, 10)
    lstm.load_state_dict({f"{name}_l0": value for name, value in cell.cell.state_dict().items()})
    expected = logit(lstm(torch.stack(read))[0])  # [gates, N, 1]
    assert len(read) == 5
    torch.testing.assert_close(torch.stack([record.logits for record in gates.values()]), expected)


@pytest.mark.broad
def test_the_first_block_always_runs_and_every_other_has_a_gate() -> None:
    sites = _gated(net="resnet38").sites
    assert len(sites) == 17 and "layer1.0" not in sites
    assert {site.kind for site in sites.values()} == {"layer"}


def test_macs_of_the_shared_parts() -> None:
    macs = _gated().macs
    gates = {name: m.dense for name, m in macs.by_module().items() if m.kind == "gate"}
    assert gates.pop("gates.lstm") == 4 * 10 * 10 + 4 * (4 * 10 * 20)  # no state at the first of five gates
    assert gates.pop("gates.logit") == 5 * 10
    pools = [macs for name, macs in gates.items() if name.endswith(".pool")]
    assert pools == [16 * 1024] * 2 + [32 * 256] * 2 + [64 * 64]
    assert sorted(macs for name, macs in gates.items() if name.endswith(".linear")) == [160, 160, 320, 320, 640]
    assert len(gates) == 10
    assert macs.dense == sg.MacModel(build_net("resnet14"), IMAGES).dense


def test_skipping_a_block_saves_all_of_it_but_its_gate() -> None:
    gated = _gated().eval()
    _, gates = gated(torch.randn(2, 3, 32, 32), return_gates=True)
    opened = {name: record._replace(open=torch.ones(2, 1)) for name, record in gates.items()}
    skipped = opened | {"layer2.1": gates["layer2.1"]._replace(open=torch.tensor([[0.0], [1.0]]))}
    cost = gated.macs(GateRecords(opened)) - gated.macs(GateRecords(skipped))
    assert cost.tolist() == [2 * 9 * 32 * 32 * 16 * 16, 0]


class _WithChannels(Gating):
    """SkipNet's layer gates, and channel gates between its blocks."""

    def placements(self, graph_module: fx.GraphModule) -> list[Placement]:
        channels = sg.ChannelGating(at="2", initial_open_rate=0.5).placements(graph_module)
        return channels + sg.RecurrentGating(initial_open_rate=0.5).placements(graph_module)


def _between_blocks() -> sg.GatedModel:
    torch.manual_seed(0)
    blocks = [
        Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 1)), nn.Identity()),
        *(nn.Conv2d(3, 6, 1), nn.ReLU()),
        Residual(nn.Sequential(nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)), nn.Conv2d(6, 4, 1)),
    ]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return sg.gate_model(net, _WithChannels(), torch.zeros(1, 3, 8, 8)).eval()


def test_a_closed_channel_saves_its_share_of_the_features() -> None:
    gated = _between_blocks()
    _, gates = gated(torch.randn(1, 3, 8, 8), return_gates=True)
    opened = GateRecords({name: record._replace(open=torch.ones_like(record.open)) for name, record in gates.items()})
    one_closed = torch.tensor([[1.0, 1, 1, 1, 0, 1]])
    closed = GateRecords(opened | {"1": opened["1"]._replace(open=one_closed)})
    filters = 3 * 64 + 4 * 64 + 4 * 64  # of the convolution that makes the channel, of the two that read it
    features = 64 + 10  # pooling, linear
    assert (gated.macs(opened) - gated.macs(closed)).tolist() == [filters + features]


def test_the_engine_counts_features_of_closed_channels_alike() -> None:
    gated = _between_blocks()
    images = torch.randn(6, 3, 8, 8)
    with torch.no_grad():
        output, gates = gated(images, return_gates=True)
    assert 0 < gates["1"].open.mean() < 1
    lowered = lower(gated)
    result = run_reference(lowered.program, lowered.tensors, images.numpy())
    np.testing.assert_allclose(result.output, output.numpy(), rtol=0, atol=1e-6)
    assert result.macs.tolist() == gated.macs(gates).tolist()


def test_gates_start_out_open_and_all_shared_parts_are_gate_parameters() -> None:
    gated = _gated()
    _, gates = gated(torch.randn(8, 3, 32, 32), return_gates=True)
    rates = torch.cat([record.logits.sigmoid() for record in gates.values()])
    assert rates.mean().item() == pytest.approx(0.97, abs=0.01)
    named = {name for name, _ in gated.network.named_parameters() if name.startswith("gates.")}
    assert len(named) == len(list(gated.gate_parameters())) == 5 * 2 + 4 + 2


def test_what_cannot_be_gated_so_is_refused() -> None:
    with pytest.raises(sg.InputError, match="estimator: GumbelSoftmax needs more than the one logit"):
        _gated(sg.RecurrentGating(estimator=sg.GumbelSoftmax()))
    with pytest.raises(sg.InputError, match="hidden: 0 neurons"):
        _gated(sg.RecurrentGating(hidden=0))
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(sg.InputError, match="no residual branch"):
        sg.gate_model(chain, sg.RecurrentGating(), IMAGES)
