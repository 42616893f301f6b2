"""Other engines with weights and activations of eight bits, calibrated on images after training.

Eight bits are the first thing to try for speed. So a network with gates is compared with them, in time and accuracy.

Shapes: images [N, C, H, W] float32; a calibration image is one of them, [1, C, H, W].
"""

import importlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np


def onnx_int8(model: bytes, images: Sequence[np.ndarray]) -> bytes:
    """An ONNX file in eight bits by ONNX Runtime's static quantisation: weights by channel, activations by tensor.

    Args:
        model: the file, for float32.
        images: [N, C, H, W] each, in the shape that the file takes; what activations are calibrated on.
    """
    tools = importlib.import_module("onnxruntime.quantization")
    reader = type("Reader", (tools.CalibrationDataReader,), {"get_next": lambda self: next(self.batches, None)})()
    with tempfile.TemporaryDirectory() as folder:
        whole, ready, done = (Path(folder) / name for name in ("whole.onnx", "ready.onnx", "done.onnx"))
        whole.write_bytes(model)
        tools.shape_inference.quant_pre_process(whole, ready, skip_symbolic_shape=True)
        reader.batches = _named(ready, images)
        tools.quantize_static(ready, done, reader, quant_format=tools.QuantFormat.QDQ, per_channel=True)
        return done.read_bytes()


def openvino_int8(model: bytes, images: Sequence[np.ndarray]) -> object:
    """OpenVINO's model of an ONNX file in eight bits, by NNCF's quantisation after training; arguments as above."""
    nncf = importlib.import_module("nncf")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    whole = importlib.import_module("openvino").Core().read_model(model)
    return nncf.quantize(whole, nncf.Dataset(list(images)), subset_size=len(images))


def _named(file: Path, images: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Each batch as the input of an ONNX file."""
    name = importlib.import_module("onnx").load(file).graph.input[0].name
    return ({name: batch} for batch in images)
