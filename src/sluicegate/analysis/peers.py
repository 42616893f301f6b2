"""Other engines on the same network, each as a function from images to outputs.

All get the same weights, the same number of threads and one fixed input shape. They compute in float32, except
"OpenVINO default", which chooses the precision itself (bfloat16 if the processor has instructions for it), and the int8
engines (`eight_bits.py`), which use instructions for eight bits if the processor has them.

They are optional: `pip install 'sluicegate[peers]'`.

Shapes: images [N, C, H, W] float32, outputs [N, classes] float32.
"""

import importlib
import logging
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sluicegate.analysis.eight_bits import onnx_int8, openvino_int8
from sluicegate.errors import InputError

Predict = Callable[[np.ndarray], np.ndarray]

PEERS_F32 = ("torch eager", "torch.compile frozen", "ONNX Runtime", "OpenVINO f32", "ncnn")
CALIBRATION = 64  # images at most that int8 is calibrated on

_TO_ONNX = ("onnx", "onnxscript")
_NEEDS: dict[str, tuple[str, ...]] = {
    "ONNX Runtime": (*_TO_ONNX, "onnxruntime"),
    "OpenVINO f32": (*_TO_ONNX, "openvino"),
    "OpenVINO default": (*_TO_ONNX, "openvino"),
    "ncnn": (*_TO_ONNX, "ncnn", "pnnx"),
    "ONNX Runtime int8": (*_TO_ONNX, "onnxruntime"),
    "OpenVINO int8": (*_TO_ONNX, "openvino", "nncf"),
}


class Peers(NamedTuple):
    """Other engines: those that are `ready` to run by name, and why each of the others was `left_out`."""

    ready: dict[str, Predict]
    left_out: dict[str, str]


def dense_peers(net: nn.Module, example: Tensor, threads: int, calibration: Tensor | None = None) -> Peers:
    """A network in every peer that is installed and can run it.

    Args:
        net: in evaluation.
        example: [N, C, H, W] as it will be called with.
        threads: of each.
        calibration: images [M, C, H, W] for int8, of which the first 64 count; without them int8 is not asked for.

    Example:
        >>> found = dense_peers(resnet18().eval(), images[:1], threads=2, calibration=images)
        >>> outputs = found.ready["OpenVINO f32"](images[:1].numpy())
        >>> found.left_out
        {'ncnn': 'ncnn is not installed'}
    """
    torch.set_num_threads(threads)
    onnx = cache(partial(to_onnx, net, example))
    make: dict[str, Callable[[], Predict]] = {
        "torch eager": lambda: torch_eager(net),
        "torch.compile frozen": lambda: torch_compile(net, example),
        "ONNX Runtime": lambda: onnx_runtime(onnx(), threads),
        "OpenVINO f32": lambda: open_vino(onnx(), threads, "f32"),
        "OpenVINO default": lambda: open_vino(onnx(), threads),
        "ncnn": lambda: ncnn(to_onnx(net, example[:1]), example, threads),
    }
    if calibration is not None:
        batches = _batches(calibration[:CALIBRATION], len(example))
        make["ONNX Runtime int8"] = lambda: onnx_runtime(onnx_int8(onnx(), batches), threads)
        make["OpenVINO int8"] = lambda: open_vino(openvino_int8(onnx(), batches), threads)
    return _made(make)


def _made(make: Mapping[str, Callable[[], Predict]]) -> Peers:
    ready: dict[str, Predict] = {}
    left_out = {name: f"{package} is not installed" for name, package in missing_peers().items() if name in make}
    for name in (name for name in make if name not in left_out):
        try:
            ready[name] = make[name]()
        except InputError as error:
            left_out[name] = str(error)
    return Peers(ready, left_out)


def _batches(images: Tensor, size: int) -> list[np.ndarray]:
    return [batch.numpy() for batch in images.split(size) if len(batch) == size]


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


def open_vino(model: Any, threads: int, precision: str | None = None) -> Predict:
    """OpenVINO's CPU plugin, in one stream, which is how it answers one caller soonest.

    Args:
        model: an ONNX file, or a model of OpenVINO's own.
        threads: how many.
        precision: "f32", or what OpenVINO thinks best.
    """
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    core = importlib.import_module("openvino").Core()
    compiled = core.compile_model(core.read_model(model) if isinstance(model, bytes) else model, "CPU", config)
    return lambda images: compiled(images, share_inputs=True)[0]


def ncnn(model: bytes, example: Tensor, threads: int) -> Predict:
    """ncnn in float32, which takes one image at a time; `pnnx` turns ONNX into its form.

    Args:
        model: an ONNX file for one image.
        example: [N, C, H, W].
        threads: how many.

    Raises:
        InputError: ncnn has no layer for a part of the network.
    """
    module, pnnx = (importlib.import_module(name) for name in ("ncnn", "pnnx"))
    net = module.Net()
    net.opt.num_threads = threads
    for reduced in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{reduced}", False)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.onnx").write_bytes(model)
        convert = [Path(str(pnnx.__file__)).parent / "pnnx", "net.onnx", "fp16=0"]
        done = subprocess.run(convert, cwd=folder, capture_output=True, text=True)
        files = [f"{folder}/net.ncnn.{end}" for end in ("param", "bin")]
        if done.returncode != 0 or net.load_param(files[0]) != 0 or net.load_model(files[1]) != 0:
            raise InputError("pnnx or ncnn lacks an op of this network")

    def predict(images: np.ndarray) -> np.ndarray:
        return np.stack([_ncnn_output(module, net, image) for image in images])

    predict(example.numpy()[:1])  # a layer that is missing shows only now
    return predict


def _ncnn_output(module: Any, net: Any, image: np.ndarray) -> np.ndarray:
    run = net.create_extractor()
    run.input("in0", module.Mat(image))
    status, output = run.extract("out0")
    if status != 0:
        raise InputError(f"ncnn cannot run this network (status {status})")
    return np.array(output)


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
    for name in ("onnxruntime", "openvino", "onnx", "ncnn", "pnnx", "nncf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
