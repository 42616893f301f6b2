"""Other engines on the same network, each as a function from images to outputs.

All get the same weights, the same number of threads and one shape to specialise on. They compute in float32, but for
"OpenVINO default", which takes whatever it thinks best on the machine at hand (bfloat16 where there are instructions).

Shapes: images [N, C, H, W] float32, outputs [N, classes] float32.
"""

import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from torch import Tensor, nn

Predict = Callable[[np.ndarray], np.ndarray]


def dense_peers(net: nn.Module, example: Tensor, threads: int) -> dict[str, Predict]:
    """Every peer by its name; `net` is in evaluation, `example` is [N, C, H, W] as it will be called with."""
    torch.set_num_threads(threads)
    onnx = to_onnx(net, example)
    return {
        "torch eager": torch_eager(net),
        "torch.compile frozen": torch_compile(net, example),
        "ONNX Runtime": onnx_runtime(onnx, threads),
        "OpenVINO f32": open_vino(onnx, threads, "f32"),
        "OpenVINO default": open_vino(onnx, threads),
    }


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
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", config)
    return lambda images: compiled(images, share_inputs=True)[0]


def to_onnx(net: nn.Module, example: Tensor) -> bytes:
    """The network as an ONNX file in one piece, for inputs of exactly this shape."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter's, of itself
        path = Path(folder) / "net.onnx"
        torch.onnx.export(net, (example,), path, dynamo=True, external_data=False, verbose=False)
        return path.read_bytes()


def versions() -> dict[str, str]:
    """The versions that their times depend on; PyTorch's is in every provenance."""
    return {name: version(name) for name in ("onnxruntime", "openvino", "onnx")}
