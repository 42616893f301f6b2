"""Other engines on the same network, each as a function from images to outputs.

All get the same weights, the same number of threads and one shape to specialise on. They compute in float32, but for
"OpenVINO default", which takes whatever it thinks best on the machine at hand (bfloat16 where there are instructions).

ONNX Runtime and OpenVINO are optional: `pip install 'sluicegate[peers]'`.

Shapes: images [N, C, H, W] float32, outputs [N, classes] float32.
"""

import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Predict = Callable[[np.ndarray], np.ndarray]

PEERS_F32 = ("torch eager", "torch.compile frozen", "ONNX Runtime", "OpenVINO f32")

_TO_ONNX = ("onnx", "onnxscript")
_NEEDS: dict[str, tuple[str, ...]] = {
    "ONNX Runtime": (*_TO_ONNX, "onnxruntime"),
    "OpenVINO f32": (*_TO_ONNX, "openvino"),
    "OpenVINO default": (*_TO_ONNX, "openvino"),
}


def dense_peers(net: nn.Module, example: Tensor, threads: int) -> dict[str, Predict]:
    """Every peer that is installed, by its name; `net` is in evaluation, `example` is [N, C, H, W] as it will be
    called with."""
    torch.set_num_threads(threads)
    onnx = cache(partial(to_onnx, net, example))
    make: dict[str, Callable[[], Predict]] = {
        "torch eager": lambda: torch_eager(net),
        "torch.compile frozen": lambda: torch_compile(net, example),
        "ONNX Runtime": lambda: onnx_runtime(onnx(), threads),
        "OpenVINO f32": lambda: open_vino(onnx(), threads, "f32"),
        "OpenVINO default": lambda: open_vino(onnx(), threads),
    }
    absent = missing_peers()
    return {name: peer() for name, peer in make.items() if name not in absent}


def missing_peers() -> dict[str, str]:
    """The peers that cannot run here -> the first package that they lack."""
    lacks = {peer: [name for name in needs if find_spec(name) is None] for peer, needs in _NEEDS.items()}
    return {peer: packages[0] for peer, packages in lacks.items() if packages}


def torch_eager(net: Callable[[Tensor], Tensor]) -> Predict:
    """PyTorch as it comes."""

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.from_numpy(images)).numpy()

    return predict


def torch_compile(net: nn.Module, example: Tensor) -> Predict:
    """Inductor, with weights frozen into the graph so that it may fold batch norms and lay weights out anew."""
    predict = torch_eager(torch.compile(net, options={"freezing": True}))
    predict(example.numpy())  # compiles
    return predict


def onnx_runtime(model: bytes, threads: int) -> Predict:
    """ONNX Runtime's CPU provider."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images})[0])


def open_vino(model: bytes, threads: int, precision: str | None = None) -> Predict:
    """OpenVINO's CPU plugin, in one stream, which is how it answers one caller soonest."""
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    core = importlib.import_module("openvino").Core()
    compiled = core.compile_model(core.read_model(model), "CPU", config)
    return lambda images: compiled(images, share_inputs=True)[0]


def to_onnx(net: nn.Module, example: Tensor) -> bytes:
    """The network as an ONNX file in one piece, for inputs of exactly this shape."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter's, of itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # else it lists torchvision's ops that it does without
        path = Path(folder) / "net.onnx"
        torch.onnx.export(net, (example,), path, dynamo=True, external_data=False, verbose=False)
        return path.read_bytes()


def versions() -> dict[str, str]:
    """The versions that the peers' times depend on, of those that are installed."""
    found = {}
    for name in ("onnxruntime", "openvino", "onnx"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
