"""Every peer that is installed answers as torch does; the others are named."""

import numpy as np
import pytest
import torch

from sluicegate.analysis import peers
from sluicegate.nets import build_net

EXAMPLE = torch.randn(2, 3, 32, 32)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_peers_agree(monkeypatch):
    monkeypatch.setattr(peers, "torch_compile", lambda net, example: peers.torch_eager(net))  # which takes a minute
    torch.manual_seed(0)
    net = build_net("resnet8").eval()
    found = peers.dense_peers(net, EXAMPLE, threads=1)
    assert {*found, *peers.missing_peers()} == {*peers.PEERS_F32, "OpenVINO default"}
    wanted = net(EXAMPLE).detach().numpy()
    for name in peers.PEERS_F32:
        if name in found:
            np.testing.assert_allclose(found[name](EXAMPLE.numpy()), wanted, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_compiled_network_agrees():
    torch.manual_seed(0)
    net = build_net("resnet8").eval()
    compiled = peers.torch_compile(net, EXAMPLE)
    np.testing.assert_allclose(compiled(EXAMPLE.numpy()), net(EXAMPLE).detach().numpy(), atol=1e-5)


def test_a_peer_that_is_not_installed_names_its_first_missing_package(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("onnxscript", "openvino") else object())
    assert peers.missing_peers() == {
        "ONNX Runtime": "onnxscript",
        "OpenVINO f32": "onnxscript",
        "OpenVINO default": "onnxscript",
    }
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "openvino" else object())
    assert peers.missing_peers() == {"OpenVINO f32": "openvino", "OpenVINO default": "openvino"}
