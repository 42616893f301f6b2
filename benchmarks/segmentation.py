"""PSPNet on CamVid, dense and gated: mean IoU, pixel accuracy, MACs and engine milliseconds side by side; the images
that cost most and least, with their masks.

    python benchmarks/segmentation.py [--runs runs] [--json results/segmentation_camvid.json]
                                      [--figure docs/segmentation.png]

Both are trained by the recipes `pspnet-camvid-dense` and `pspnet-camvid-gated`; a run in the folder of `--runs` is gone
on with, or kept where it is finished. CamVid is looked for in `$SLUICEGATE_DATA`. While they train, every fourth test
image is looked at; what is told in the end is the engine's answer to each of them, its milliseconds are the median of
one image on one thread, both networks in turns.

Legend: N images, K classes, H W pixels.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Patch
from rich.console import Console
from rich.table import Table
from vision import import_torchvision

from sluicegate.data import IGNORE, Normalize, SceneSet
from sluicegate.files import whole_file, write_json
from sluicegate.models.release import without_folders
from sluicegate.recipes import recipe
from sluicegate.tasks import Confusion, Segmentation
from sluicegate.train import load_split, override, provenance, run
from sluicegate.train.products import export_run, timed_pixels
from sluicegate_runtime import Session, palette, time_sessions

NAMES = {"dense": "pspnet-camvid-dense", "gated": "pspnet-camvid-gated"}
SHOWN = 4  # images of each kind in the figure


class Seen(NamedTuple):
    """What a file says of every test image: masks [N, H, W]; MACs, shares of open gates and of right pixels, and the
    image's mean level, [N] each; and how good it is."""

    masks: np.ndarray
    macs: np.ndarray
    open_rate: np.ndarray
    right: np.ndarray
    level: np.ndarray
    scores: dict[str, Any]


def look(session: Session, images: SceneSet) -> Seen:
    """Run a file on every image."""
    counted, prepare = Confusion(len(images.classes)), Normalize(images.mean, images.std)
    task, masks, macs, rates, right, levels = Segmentation(), [], [], [], [], []
    for pixels, labels in images.batches(1):
        result = session.run(prepare(pixels).numpy())
        output = torch.from_numpy(result.output)
        counted.update(output, labels)
        right.append(task.accuracy(output, labels).item())
        levels.append(pixels.double().mean().item())
        masks.append(result.output[0].argmax(0))
        macs.append(int(result.macs[0]))
        rates.append(np.concatenate([flags[0] for flags in result.gates.values()] or [np.ones(1)]).mean())
    scores = task.scores(counted, images.classes)._asdict()
    by_image = [np.array(values) for values in (macs, rates, right, levels)]
    return Seen(np.stack(masks), by_image[0], by_image[1], by_image[2], by_image[3], scores)


def report(seen: dict[str, Seen], milliseconds: dict[str, float], images: SceneSet) -> dict[str, Any]:
    """Everything as plain values."""
    found: dict[str, Any] = {"images": len(images), "sides": list(images.sides)}
    for name, one in seen.items():
        trained = recipe(NAMES[name])
        macs = {"mean": float(one.macs.mean()), "min": int(one.macs.min()), "max": int(one.macs.max())}
        found[name] = {
            **one.scores,
            "macs": macs | {"std": float(one.macs.std())},
            "open_rate": float(one.open_rate.mean()),
            "milliseconds": milliseconds[name],
            "epochs": trained.epochs,
        }
    gated = seen["gated"]
    for name, what in (("wrong_pixels", 1 - gated.right), ("mean_level", gated.level)):
        found[f"correlation_of_macs_with_{name}"] = float(np.corrcoef(gated.macs, what)[0, 1])
    where = provenance.provenance()
    return found | {"threads": 1, **where, "command": without_folders(where["command"])}


def table(found: dict[str, Any]) -> Table:
    """Side by side."""
    columns = ("mean IoU", "pixel accuracy", "million MACs", "of dense", "open", "engine ms", "of dense")
    shown, dense = Table("", *columns, box=None), found["dense"]
    for name in NAMES:
        one = found[name]
        shares = one["macs"]["mean"] / dense["macs"]["mean"], one["milliseconds"] / dense["milliseconds"]
        figures = (f"{one['mean_iou']:.2%}", f"{one['accuracy']:.2%}", f"{one['macs']['mean'] / 1e6:.1f}")
        more = (f"{shares[0]:.0%}", f"{one['open_rate']:.0%}", f"{one['milliseconds']:.2f}", f"{shares[1]:.0%}")
        shown.add_row(name, *figures, *more)
    return shown


def draw(seen: Seen, images: SceneSet, file: Path) -> None:
    """The images of most and of fewest MACs (batch shaping, figure 4), what they show, and what the network says."""
    order = np.argsort(-seen.macs, kind="stable")
    chosen = np.concatenate([order[:SHOWN], order[-SHOWN:]])
    pixels, labels = next(iter(images.subset(chosen.tolist()).batches(len(chosen))))
    colours = palette(len(images.classes) + 1)[1:]  # the first is black, which void has here
    figure, axes = plt.subplots(6, SHOWN, figsize=(2.4 * SHOWN, 12.2), constrained_layout=True)
    for axis in axes.flat:
        axis.set_axis_off()
    for n, row in enumerate(chosen):
        column = axes[3 * (n // SHOWN) : 3 * (n // SHOWN) + 3, n % SHOWN]
        answer, truth = seen.masks[row], labels[n].numpy()
        column[0].imshow(pixels[n].permute(1, 2, 0))
        column[0].set_title(f"{seen.macs[row] / 1e6:.1f} million MACs", fontsize=9)
        column[1].imshow(np.where((truth == IGNORE)[..., None], 0, colours[np.minimum(truth, len(colours) - 1)]))
        column[1].set_title("labels", fontsize=8)
        column[2].imshow(colours[answer])
        column[2].set_title(f"answer, {seen.right[row]:.0%} right", fontsize=8)
    names = [*zip(images.classes, colours / 255, strict=True), ("void", np.zeros(3))]
    patches = [Patch(color=colour, label=name) for name, colour in names]
    figure.legend(handles=patches, ncols=6, loc="outside lower center", fontsize=8, frameon=False)
    figure.suptitle("CamVid test images: most MACs above, fewest below")
    with whole_file(file) as part:
        figure.savefig(part, format="png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--json", type=Path, default=Path("results/segmentation_camvid.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/segmentation.png"))
    parser.add_argument("--only", choices=list(NAMES), help="train this one, and measure nothing")
    options = parser.parse_args()
    import_torchvision()
    for name in [options.only] if options.only else list(NAMES):
        run(override(recipe(NAMES[name]), ["data.limit_test=59"]), options.runs / NAMES[name], resume=True)
    if options.only:
        return
    images = load_split(recipe(NAMES["dense"]).data, "test", None)
    assert isinstance(images, SceneSet)
    folders = {name: options.runs / run_name for name, run_name in NAMES.items()}
    sessions = {
        name: Session(export_run(folder, folder / "model.sluice"), threads=1) for name, folder in folders.items()
    }
    seen = {name: look(session, images) for name, session in sessions.items()}
    found = report(seen, time_sessions(sessions, timed_pixels(images)), images)
    write_json(options.json, found)
    draw(seen["gated"], images, options.figure)
    Console().print(table(found))


if __name__ == "__main__":
    main()
