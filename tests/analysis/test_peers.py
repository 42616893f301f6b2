"""Every peer that is installed answers as torch does; the others are named."""

import numpy as np
import pytest
import torch
from torch import nn

from sluicegate.analysis import peers
from sluicegate.errors import InputError
from sluicegate.nets import build_net

EXAMPLE = torch.randn(2, 3, 32, 32)
INT8 = ("ONNX Runtime int8", "OpenVINO int8")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_peers_agree(monkeypatch):
    monkeypatch.setattr(peers, "torch_compile", lambda net, example: peers.torch_eager(net))  # which takes a minute
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    found = peers.dense_peers(net.eval(), EXAMPLE, threads=1, calibration=EXAMPLE)
    assert {*found.ready, *found.left_out} == {*peers.PEERS_F32, "OpenVINO default", *INT8}
    wanted = net(EXAMPLE).detach().numpy()
    for name, predict in found.ready.items():
        loose = name in (*INT8, "OpenVINO default")
        np.testing.assert_allclose(predict(EXAMPLE.numpy()), wanted, atol=0.05 if loose else 1e-5, err_msg=name)


def test_without_images_to_calibrate_on_nobody_is_asked_for_int8(monkeypatch):
    monkeypatch.setattr(peers, "missing_peers", lambda: dict.fromkeys(peers._NEEDS, "onnx"))
    monkeypatch.setattr(peers, "torch_compile", lambda net, example: peers.torch_eager(net))
    found = peers.dense_peers(build_net("resnet8").eval(), EXAMPLE, threads=1)
    assert found.ready.keys() == {"torch eager", "torch.compile frozen"}
    assert found.left_out.keys() == {*peers.PEERS_F32, "OpenVINO default"} - found.ready.keys()


def test_a_peer_that_cannot_run_a_network_says_so(monkeypatch):
    def lacks(*_):
        raise InputError("it has no layer for this network")

    monkeypatch.setattr(peers, "missing_peers", lambda: dict.fromkeys(peers._NEEDS.keys() - {"ncnn"}, "onnx"))
    monkeypatch.setattr(peers, "torch_compile", lambda net, example: peers.torch_eager(net))
    monkeypatch.setattr(peers, "to_onnx", lambda *_: b"")
    monkeypatch.setattr(peers, "ncnn", lacks)
    found = peers.dense_peers(build_net("resnet8").eval(), EXAMPLE, threads=1)
    assert "ncnn" not in found.ready
    assert found.left_out["ncnn"] == "it has no layer for this network"


@pytest.mark.slow
def test_a_compiled_network_agrees():
    torch.manual_seed(0)
    net = build_net("resnet8").eval()
    compiled = peers.torch_compile(net, EXAMPLE)
    np.testing.assert_allclose(compiled(EXAMPLE.numpy()), net(EXAMPLE).detach().numpy(), atol=1e-5)


def test_a_peer_that_is_not_installed_names_its_first_missing_package(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("onnxscript", "openvino") else object())
    assert peers.missing_peers() == dict.fromkeys(peers._NEEDS, "onnxscript")
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("openvino", "pnnx") else object())
    of_openvino = dict.fromkeys(("OpenVINO f32", "OpenVINO default", "OpenVINO int8"), "openvino")
    assert peers.missing_peers() == {**of_openvino, "ncnn": "pnnx"}
