"""What is left of a released network when its settled gates are gone, and when it serves some classes only.

    SLUICEGATE_DATA=DIR python benchmarks/pruned.py [--out results/pruned.json]

Gates are judged by all training images of CIFAR-10, accuracy and MACs are of all test images, in the engine. Rows:

    gated            as released
    settled 1.0      prune_settled: gates that did the same for every training image are gone
    settled 0.99     for at least 99 % of them
    plain            prune with share=0.5: every gate rounded to what it does more often, none is left
    cat dog ...      specialised to some classes: the same three ways, over images of these classes alone

Milliseconds: one image, one thread, the median over 100 images, all networks in turns; as the engine plans by itself,
and with the algorithms that it has measured to be the fastest (`tune`).

Legend: N images, K classes, G gates of a site.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import sluicegate as sg
from sluicegate.costs import ALWAYS_CLOSED, ALWAYS_OPEN, BY_IMAGE, Settled
from sluicegate.cutting import settle, used_only_by, with_gates_left, without_gates
from sluicegate.data import ImageSet, Normalize
from sluicegate.files import write_json
from sluicegate.models import find_pretrained
from sluicegate.train import load_split, provenance, read_run_recipe
from sluicegate.train.exporting import export_net
from sluicegate_runtime import Session, load_program, time_sessions
from sluicegate_runtime import without_gates as plain_program

NAME = "resnet20-cifar10-0.5"
TIMED, BATCH = 100, 250


@dataclass(frozen=True)
class Row:
    """One network: its gates and heads, and what it does with test images of `classes`."""

    network: str
    classes: list[str]
    gates: int
    open_for_good: int
    closed_for_good: int
    head_macs: int
    parameters: int
    accuracy: float
    macs: float
    ms: float
    ms_tuned: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pruned.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = Benchmark(Path(scratch)).report()
    write_json(options.out, report | provenance.provenance())


class Benchmark:
    """The network, its images, and how often each class opens each gate."""

    def __init__(self, scratch: Path) -> None:
        folder = find_pretrained(NAME)
        data = read_run_recipe(folder).data
        train, test, gated = load_split(data, "train", None), load_split(data, "test", None), sg.load_pretrained(NAME)
        assert isinstance(train, ImageSet) and isinstance(test, ImageSet) and isinstance(gated, sg.GatedModel)
        self.train, self.test, self.gated = train.plain(), test, gated.eval()
        self.scratch = scratch
        self.full = export_net(self.gated, self.test, scratch / "gated.sluice")
        self.rates, self.counts = self._rates()

    def report(self) -> dict:
        """All rows."""
        everything = list(range(len(self.test.classes)))
        five = sorted(random.Random(0).sample(everything, 5))
        rows = self._rows(everything)
        only = {}
        for numbers in ([self.test.classes.index(name) for name in ("cat", "dog")], five):
            rows += self._rows(numbers)
            used = used_only_by(self.rates, numbers)
            only[" ".join(self.test.classes[i] for i in numbers)] = {
                "gates": int(sum(u.sum() for u in used.values())),
                "share": float(np.concatenate(list(used.values())).mean()),
            }
        return {"network": NAME, "train_images": len(self.train), "rows": rows, "used_only_by": only}

    def _rates(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Site -> [K, G] over the training images, and how many of them each class has."""
        session, normalize = Session(self.full, threads=1), Normalize(self.train.mean, self.train.std)
        classes = len(self.train.classes)
        opened = {name: np.zeros((classes, site.gates)) for name, site in self.gated.sites.items()}
        for images, labels in self.train.batches(BATCH):
            for name, gates in session.run(normalize(images).numpy()).gates.items():
                np.add.at(opened[name], labels.numpy(), gates)
        counts = np.bincount(self.train.labels.numpy(), minlength=classes)
        return {name: count / counts[:, None] for name, count in opened.items()}, counts

    def _settled(self, numbers: Sequence[int], share: float) -> dict[str, np.ndarray]:
        weights = self.counts[list(numbers)]
        return {name: settle(np.average(rate[list(numbers)], 0, weights), share) for name, rate in self.rates.items()}

    def _rows(self, numbers: Sequence[int]) -> list[dict]:
        """The networks for some classes, timed in turns."""
        outputs = None if len(numbers) == len(self.test.classes) else numbers
        nothing: Settled = {name: np.full(site.gates, BY_IMAGE) for name, site in self.gated.sites.items()}
        found: dict[str, tuple[nn.Module, Settled]] = {"gated": (self.gated, nothing)}
        for share in (1.0, 0.99):
            settled = self._settled(numbers, share)
            found[f"settled {share}"] = (with_gates_left(self.gated, settled, outputs), settled)
        rounded = self._settled(numbers, 0.5)
        found["plain"] = (without_gates(self.gated, rounded, outputs), rounded)
        programs = {name: load_program(self._file(name, net)) for name, (net, _) in found.items()}
        programs["dense"] = plain_program(programs["gated"])
        sessions = {name: Session(program, threads=1) for name, program in programs.items()}
        tuned = {f"{name} tuned": Session(program, threads=1, tune=True) for name, program in programs.items()}
        test = self.test.subset(np.flatnonzero(np.isin(self.test.labels.numpy(), numbers)).tolist())
        ms = time_sessions(sessions | tuned, self._pixels(test.subset(range(TIMED))))
        rows = [asdict(self._row(name, *found[name], sessions[name], test, numbers, ms)) for name in found]
        print(*rows, sep="\n", flush=True)
        times = {"ms": ms["dense"], "ms_tuned": ms["dense tuned"]}
        return [*rows, {"network": "dense", "classes": rows[0]["classes"], **times}]

    def _row(
        self,
        name: str,
        net: nn.Module,
        settled: Settled,
        session: Session,
        test: ImageSet,
        numbers: Sequence[int],
        ms: dict[str, float],
    ) -> Row:
        right, macs = 0, 0
        for images, labels in test.batches(BATCH):
            result = session.run(Normalize(test.mean, test.std)(images).numpy())
            output = result.output if result.output.shape[1] == len(numbers) else result.output[:, list(numbers)]
            right += int((np.array(numbers)[output.argmax(1)] == labels.numpy()).sum())
            macs += int(result.macs.sum())
        does = np.concatenate(list(settled.values()))
        gates = sum(site.gates for site in net.sites.values()) if isinstance(net, sg.GatedModel) else 0
        heads = net.macs.by_module().values() if isinstance(net, sg.GatedModel) else ()
        return Row(
            name,
            [self.test.classes[i] for i in numbers],
            gates,
            int((does == ALWAYS_OPEN).sum()),
            int((does == ALWAYS_CLOSED).sum()),
            sum(head.dense for head in heads if head.kind == "gate"),
            sum(p.numel() for p in net.parameters()),
            right / len(test),
            macs / len(test),
            ms[name],
            ms[f"{name} tuned"],
        )

    def _file(self, name: str, net: nn.Module) -> Path:
        if net is self.gated:
            return self.full
        file = self.scratch / f"{name}.sluice"
        return sg.export(net, file, torch.zeros(1, *self.test.shape))

    def _pixels(self, images: ImageSet) -> np.ndarray:
        return Normalize(images.mean, images.std)(images.images).numpy()


if __name__ == "__main__":
    main()
