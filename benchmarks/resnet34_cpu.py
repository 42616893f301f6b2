"""Does time follow MACs? A gated network in this engine against dense ones in the fastest peers, on one CPU.

    python benchmarks/resnet34_cpu.py [--json results/resnet34_cpu.json] [--threads 2] [--images 1] [--repeats 100]
    python benchmarks/resnet34_cpu.py --net resnet20 --rates 0.5 --json results/resnet20_cpu.json
    python benchmarks/resnet34_cpu.py --gates layer

It began with ResNet-34 and serves every residual network. Weights are random; so are the gates, one per channel between
the convolutions of each block, or one per block. Their heads are real and look at the image: each gate is open on a
given share of the images, and which are open changes with every call. MACs are those that the engine says it executed,
heads included; of several images in a call, their mean.

    realised saving = (1 - time / dense time) / (1 - MACs / dense MACs)

where dense is the same engine without gates, on the same image in the same turn: each call has a saving of its own.
What is told of it, of times and of the MACs beside a time are medians over the same calls.
"direct" is the engine without Winograd, whose time should follow MACs. "slimmed" is what static pruning gives: the same
network with the first channels of each block kept and the others gone, so that its MACs are those of the gated one, in
OpenVINO f32.
Contenders take turns (`sluicegate_runtime.timing`). Needs `sluicegate[peers]`, and torchvision for its nets.
"""

import argparse
import copy
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, fx, nn
from torch.nn.functional import interpolate
from vision import import_torchvision

from sluicegate.analysis.peers import PEERS_F32, Predict, dense_peers, open_vino, to_onnx, torch_eager, versions
from sluicegate.bench import of_calls, realised_saving
from sluicegate.convert import ChannelGating, GatedModel, LayerGating, gate_model
from sluicegate.costs import MacModel
from sluicegate.files import write_json
from sluicegate.gates import BinConcrete, PooledHead
from sluicegate.graph import module_of
from sluicegate.lowering import export
from sluicegate.nets import build_net
from sluicegate.ops import read_network
from sluicegate.sites import Channels, find_channels
from sluicegate.train import provenance
from sluicegate_runtime import Session, benchmark
from sluicegate_runtime._engine import isas

OPEN_RATES = (0.70, 0.45, 0.25)
GATINGS = {"channel": ChannelGating(), "layer": LayerGating(estimator=BinConcrete())}
IMAGES = 64  # different ones, and so that many patterns
PROTOTYPE_ROUNDS = 3


@dataclass(frozen=True)
class Contender:
    """What is timed. `macs` is per image, for each batch; `baseline` names the dense one whose time it is to save,
    `reference` computes in torch what it should answer."""

    name: str
    predict: Predict
    macs: list[float]
    reference: Predict
    baseline: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        return 1e3 * statistics.median(self.seconds)

    @property
    def median_macs(self) -> float:
        return statistics.median(of_calls(self.macs, len(self.seconds)))


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    net = build(options.net)
    images = random_images(options.size)
    batches = [images[i : i + options.images].numpy() for i in range(0, IMAGES - options.images + 1, options.images)]
    with tempfile.TemporaryDirectory() as folder:
        contenders = [*_dense(net, images, options), *_gated(net, images, batches, options, Path(folder))]
    seconds = benchmark({c.name: c.predict for c in contenders}, batches, options.repeats)
    for contender in contenders:
        contender.seconds.extend(seconds[contender.name])
    rows = _rows(contenders, batches[0])
    _print(rows, options)
    prototype = _beside_prototype(contenders, batches, options) if options.prototype else []
    if options.json:
        write_json(options.json, _report(rows, options) | {"prototype": prototype})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="torchvision:resnet34", help="a residual network, by name")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1, help=f"at a call, at most {IMAGES}")
    parser.add_argument("--gates", choices=GATINGS, default="channel", help="what is gated")
    parser.add_argument("--rates", type=float, nargs="+", default=OPEN_RATES, help="open rates of the gates")
    parser.add_argument("--prototype", type=Path, help="a folder whose bench.py prints times of its own ResNet-34")
    parser.add_argument("--repeats", type=int, default=100, help="timed calls of each contender")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if not 1 <= options.images <= IMAGES:
        parser.error(f"--images {options.images} is not in 1..{IMAGES}")
    if not all(0 < rate < 1 for rate in options.rates):
        parser.error(f"--rates {options.rates} are not all between 0 and 1")
    options.size = 224 if ":" in options.net else 32
    return options


def _dense(net: nn.Module, images: Tensor, options: argparse.Namespace) -> list[Contender]:
    """The peers, whole and slimmed."""
    example = images[: options.images]
    eager = torch_eager(net)
    macs: list[float] = [MacModel(net, images[:1]).dense]
    peers = dense_peers(net, example, options.threads, images)
    found = [Contender(name, call, macs, eager) for name, call in peers.ready.items()]
    for rate in options.rates if options.gates == "channel" else ():
        slim = slimmed(net, images[:1], rate)
        predict = open_vino(to_onnx(slim, example), options.threads, "f32")
        macs = [MacModel(read_network(slim, images[:1])).dense]
        found.append(Contender(f"OpenVINO f32 slimmed {rate:.0%}", predict, macs, torch_eager(slim), "OpenVINO f32"))
    return found


def _gated(
    net: nn.Module, images: Tensor, batches: list[np.ndarray], options: argparse.Namespace, folder: Path
) -> list[Contender]:
    """This engine, dense and at each open rate; free to choose its kernels, and direct."""
    found = []
    models = {f"gated {rate:.0%}": random_gates(net, images, rate, options.gates) for rate in options.rates}
    for name, model in {"dense": net, **models}.items():
        path = export(model, folder / f"{name}.sluice", example_inputs=images[:1])
        for label, winograd in (("ours", True), ("ours direct", False)):
            session = Session(path, threads=options.threads, winograd=winograd)
            macs = [float(session.run(batch).macs.mean()) for batch in batches]
            baseline = f"{label} dense" if model is not net else ""
            found.append(Contender(f"{label} {name}", partial(output, session), macs, torch_eager(model), baseline))
    return found


def output(session: Session, images: np.ndarray) -> np.ndarray:
    return session.run(images).output


def random_images(size: int) -> Tensor:
    """[IMAGES, 3, size, size]: clouds, each of a grain, colour and contrast of its own."""
    grains = torch.randint(2, size // 2, (IMAGES,)).tolist()
    clouds = [interpolate(torch.randn(1, 3, grain, grain), (size, size), mode="bilinear") for grain in grains]
    contrast, colour = torch.randn(IMAGES, 1, 1, 1).exp(), torch.randn(IMAGES, 3, 1, 1)
    return torch.cat(clouds) * contrast + colour


@torch.no_grad()
def random_gates(net: nn.Module, images: Tensor, open_rate: float, gating: str = "channel") -> GatedModel:
    """Gates as untrained as the network, each open on this share of the images."""
    gated = gate_model(net, GATINGS[gating], images[:1]).eval()
    _Randomising(gated, open_rate).run(images)
    return gated


class _Randomising(fx.Interpreter):
    """Runs a gated network and sets each head before it speaks: what a gate sees depends on those before it."""

    def __init__(self, gated: GatedModel, open_rate: float) -> None:
        super().__init__(gated.network)
        self._heads = {f"gates.{name}.head.hidden": gate.head for name, gate in gated.gates.items()}
        self._open_rate = open_rate

    def run_node(self, n: fx.Node) -> Any:
        head = self._heads.get(str(n.target))
        if isinstance(head, PooledHead):
            _randomise(self._open_rate, head, self.env[n.args[0]])  # type: ignore[index]
        return super().run_node(n)


def _randomise(open_rate: float, head: PooledHead, pooled: Tensor) -> None:
    """Random heads would see the same in all images, for their means are alike: the hidden neurons are made to look
    where they differ (the principal directions of the pooled features [N, C], turned at random)."""
    output = head.outputs[0]
    assert isinstance(output, nn.Linear)
    hidden = head.hidden.out_features
    _, spread, directions = torch.linalg.svd(pooled - pooled.mean(0), full_matrices=False)
    kept = min(hidden, directions.shape[0])
    turn = torch.linalg.qr(torch.randn(hidden, hidden)).Q[:, :kept]  # [K, kept]
    head.hidden.weight.copy_(turn @ (directions[:kept] / spread[:kept, None]) * len(pooled) ** 0.5)
    head.hidden.bias.copy_(-head.hidden.weight @ pooled.mean(0))
    output.weight.normal_()
    output.bias.zero_()
    output.bias.copy_(-head(pooled)[0].quantile(1 - open_rate, dim=0))


def slimmed(net: nn.Module, example: Tensor, share: float) -> nn.Module:
    """A plain network with the first `share` of the channels that `random_gates` gates."""
    graph_module = read_network(copy.deepcopy(net).eval(), example)
    for channels in find_channels(graph_module):
        if channels.branch:
            _keep_first(graph_module, channels, round(share * channels.count))
    return graph_module


def _keep_first(graph_module: fx.GraphModule, channels: Channels, kept: int) -> None:
    node = channels.producer
    while True:
        module = module_of(graph_module, node)
        for tensor in [*module.parameters(), *module.buffers()] if module else ():
            if tensor.dim():  # not the number of batches that a norm has seen
                tensor.data = tensor.data[:kept].clone()
        if isinstance(module, nn.Conv2d):
            module.out_channels = kept
            if node is not channels.producer:  # depthwise
                module.in_channels = module.groups = kept
        if node is channels.value:
            break
        (node,) = node.users
    for user in channels.value.users:
        module = module_of(graph_module, user)
        assert isinstance(module, nn.Conv2d)
        module.weight.data = module.weight.data[:, :kept].clone()
        module.in_channels = kept


def _rows(contenders: list[Contender], batch: np.ndarray) -> list[dict[str, Any]]:
    by_name = {c.name: c for c in contenders}
    fastest = min((by_name[name] for name in PEERS_F32 if name in by_name), key=lambda c: c.milliseconds)
    return [_row(c, by_name.get(c.baseline), fastest, batch) for c in contenders]


def _row(one: Contender, dense: Contender | None, fastest: Contender, batch: np.ndarray) -> dict[str, Any]:
    wanted = one.reference(batch)
    return {
        "name": one.name,
        "median_ms": one.milliseconds,
        "best_ms": 1e3 * min(one.seconds),
        "over_fastest_f32_peer": one.milliseconds / fastest.milliseconds,
        "macs": one.median_macs,
        "macs_over_dense": one.median_macs / fastest.macs[0],
        "realised_saving": dense and realised_saving(one.seconds, dense.seconds, one.macs, dense.macs[0]),
        "error": float(np.abs(one.predict(batch) - wanted).max() / np.abs(wanted).max()),
        "fastest_f32_peer": one is fastest,
    }


def _beside_prototype(
    contenders: list[Contender], batches: list[np.ndarray], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Ours and the scratch code's in rounds, so that a minute in which the host is busy slows both; ours at its MACs,
    by the line through the two nearest of our own."""
    ours = [replace(c, seconds=[]) for c in contenders if c.name.startswith("ours")]
    theirs: dict[tuple[str, float], list[float]] = {}
    for _ in range(PROTOTYPE_ROUNDS):
        for key, milliseconds in _prototype(options.prototype, options.threads).items():
            theirs.setdefault(key, []).append(milliseconds)
        seconds = benchmark({c.name: c.predict for c in ours}, batches, options.repeats)
        for one in ours:
            one.seconds.extend(seconds[one.name])
    rows = [_prototype_row(*key, statistics.median(found), ours) for key, found in theirs.items()]
    for row in rows:
        print("prototype {name}, MACs {macs_over_dense:.3f}: {median_ms:.2f} ms, ours {ours_ms:.2f}".format_map(row))
    return rows


def _prototype_row(name: str, macs: float, milliseconds: float, ours: list[Contender]) -> dict[str, Any]:
    same = [c for c in ours if c.name.startswith("ours direct") == (name == "direct")]
    dense = max(c.median_macs for c in same)
    same.sort(key=lambda c: c.median_macs)
    own = float(np.interp(macs, [c.median_macs / dense for c in same], [c.milliseconds for c in same]))
    return {"name": name, "macs_over_dense": macs, "median_ms": milliseconds, "ours_ms": own}


def _prototype(folder: Path, threads: int) -> dict[tuple[str, float], float]:
    """What scratch code prints of itself, e.g. "winograd threads 2 open 0.45 MACs 0.472 median 12.4 ms": milliseconds
    by name and MACs; nothing where it cannot be built."""
    done = subprocess.run([sys.executable, folder / "bench.py"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"--prototype {folder}: left out, {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    found = re.findall(r"(\w+) +threads (\d+) open \S+ MACs (\S+) median +(\S+) ms", done.stdout)
    return {(name, float(macs)): float(ms) for name, t, macs, ms in found if int(t) == threads}


def _print(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    shape = f"{options.images} x {options.size}x{options.size}"
    title = f"{options.net}, {options.gates} gates, {shape}, {options.threads} threads"
    table = Table("", "median ms", "ratio", "MACs", "saving", "error", title=title)
    table.caption = "ratio: to the fastest f32 peer (*); saving: realised; error: against torch"
    for row in rows:
        saving = row["realised_saving"]
        table.add_row(
            row["name"] + (" *" if row["fastest_f32_peer"] else ""),
            f"{row['median_ms']:.2f}",
            f"{row['over_fastest_f32_peer']:.3f}",
            f"{row['macs_over_dense']:.3f}",
            "" if saving is None else f"{saving:.2f}",
            f"{row['error']:.0e}",
        )
    Console().print(table)


def _report(rows: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    came_from = provenance.provenance()
    came_from["versions"] |= versions()
    keys = ("net", "gates", "size", "images", "threads", "repeats")
    return {
        "question": "time over that of the fastest dense float32 peer",
        **{key: getattr(options, key) for key in keys},
        "isa": os.environ.get("SLUICEGATE_ISA") or isas()[0],
        "rows": rows,
        **came_from,
    }


def build(name: str) -> nn.Module:
    if name.startswith(("torchvision:", "timm:")):
        import_torchvision()
    return build_net(name).eval()


if __name__ == "__main__":
    main()
