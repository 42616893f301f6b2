"""Does a pruned network take less time in plain torch, too? Half of the channels closed for good.

    python benchmarks/pruned_torch.py [--json results/pruned_torch.json] [--repeats 30]

Gates look at no image and are open or closed at random, as after a training with `conditional=False`. Torch runs the
network as it came, with gates (which are masks there), and pruned; the engine runs the network as it came and pruned.
One thread; times are medians in turns, each over that of the network as it came.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resnet34_cpu import build, output
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import sluicegate as sg
from sluicegate.files import write_json
from sluicegate.train import provenance
from sluicegate_runtime import Session, benchmark

NETS = {  # name -> side and number of the images in a call, where gates stand
    "resnet56": (32, 16, "mid"),
    "densenet_bc100_k12": (32, 16, "growth"),
    "torchvision:mobilenet_v2": (224, 2, "mid"),
    "torchvision:efficientnet_b0": (224, 2, "mid"),
    "torchvision:resnext50_32x4d": (224, 2, "mid"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--repeats", type=int, default=30, help="timed calls")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [_measured(name, *NETS[name], options.repeats) for name in options.nets]
    _print(rows)
    if options.json:
        report = {"question": "is a pruned network faster in plain torch", "rows": rows}
        write_json(options.json, report | provenance.provenance())


def _measured(name: str, side: int, count: int, at: str, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    net, images = build(name), torch.randn(count, 3, side, side)
    gated = _settled(net, at, images[:1])
    plain = sg.prune(gated)
    with tempfile.TemporaryDirectory() as folder:
        sessions = [
            Session(sg.export(one, Path(folder) / f"{i}.sluice", images[:1]), threads=1)
            for i, one in enumerate((net, plain))
        ]
    torch_calls = {"torch": net, "torch gated": gated, "torch pruned": plain}
    calls = {
        **{label: partial(_run, one) for label, one in torch_calls.items()},
        **{label: partial(output, one) for label, one in zip(("engine", "engine pruned"), sessions, strict=True)},
    }
    seconds = benchmark(calls, [images.numpy()], repeats)
    ms = {label: 1e3 * statistics.median(taken) for label, taken in seconds.items()}
    dense = sg.MacModel(net, images[:1]).dense
    return {"network": name, "images": count, "macs": sg.MacModel(plain, images[:1]).dense / dense, "ms": ms}


def _settled(net: nn.Module, at: str, example: Tensor) -> sg.GatedModel:
    gated = sg.gate_model(net, sg.ChannelGating(at, head=sg.LearnedLogits), example).eval()
    for parameter in gated.gate_parameters():
        nn.init.normal_(parameter)
    return gated


def _run(net: nn.Module, images: np.ndarray) -> Any:
    with torch.inference_mode():
        return net(torch.from_numpy(images))


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("network", "MACs", "torch ms", "gated", "pruned", "engine over torch", "pruned over engine")
    for row in rows:
        ms = row["ms"]
        over = (ms["torch gated"] / ms["torch"], ms["torch pruned"] / ms["torch"], ms["engine"] / ms["torch"])
        figures = (row["macs"], ms["torch"], *over, ms["engine pruned"] / ms["engine"])
        table.add_row(row["network"], *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
