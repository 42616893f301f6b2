"""What each verb of the command line takes.

Every command parses the arguments of all verbs, so this file imports no more than that takes.
"""

from pathlib import Path

import jsonargparse

SHELLS = ("bash", "zsh", "tcsh")
STRATEGIES = ("threshold", "stochastic", "always-on", "ensemble")


def demo(parser: jsonargparse.ArgumentParser) -> None:
    """Of `demo`."""
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/demo"), help="folder for runs and figure")


def train(parser: jsonargparse.ArgumentParser) -> None:
    """Of `train`."""
    parser.add_argument("recipe", help="a recipe's name, or a YAML file")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="e.g. epochs=3 optimizer.lr=0.05")
    parser.add_argument("-o", "--out", type=Path | None, help="run folder; runs/NAME if left out")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run; epochs may be raised")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def finetune(parser: jsonargparse.ArgumentParser) -> None:
    """Of `finetune`."""
    parser.add_argument("net", help="resnet20, torchvision:resnet18, timm:resnet18, your.module:function")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="overrides of the recipe, as for train"
    )
    parser.add_argument("--weights", type=str, required=True, help="a file, or 'pretrained' for the library's own")
    parser.add_argument("--data", type=str, required=True, help="a data set's name, or a folder of images")
    parser.add_argument("--target", type=float, default=0.5, help="target: a share of the MACs, or as --kind says")
    parser.add_argument(
        "--kind",
        choices=["macs", "rate", "ms"],
        default="macs",
        help="unit of the target: share of MACs, open rate, or milliseconds",
    )
    parser.add_argument("--table", type=str | None, help="latency table for a target in ms; measured if left out")
    parser.add_argument("--teacher", type=str | None, help="NET=WEIGHTS, or none; default: the original network")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of fine-tuning")
    parser.add_argument("--size", type=int | None, help="resize and crop images to this size")
    parser.add_argument("--workers", type=int | None, help="number of processes that decode images during training")
    parser.add_argument("--normalize", type=str | None, help="use the mean and std of 'imagenet' or of a data set")
    parser.add_argument("-o", "--out", type=Path | None, help="run folder; runs/NAME if left out")
    parser.add_argument("--resume", action="store_true", help="continue the interrupted run in the folder")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set, if --data is a name")
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine when it is timed")


def sweep(parser: jsonargparse.ArgumentParser) -> None:
    """Of `sweep`."""
    parser.add_argument("recipe", help="a recipe's name, or a YAML file")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="of the recipe, as for train")
    parser.add_argument(
        "--over",
        action="append",
        metavar="key=value,value",
        help="an option and its values; several options make a grid",
    )
    parser.add_argument("-o", "--out", type=Path | None, help="folder for the points; runs/sweep-NAME if left out")
    parser.add_argument("--resume", action="store_true", help="continue the interrupted sweep in the folder")
    parser.add_argument("--jobs", type=int, default=1, help="trainings in parallel")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def sites(parser: jsonargparse.ArgumentParser) -> None:
    """Of `sites`."""
    parser.add_argument("net", help="resnet20, torchvision:resnet18, timm:resnet18, your.module:function")
    parser.add_argument("--size", type=int, default=224, help="height and width of its images, in pixels")
    parser.add_argument("--channels", type=int, default=3, help="channels of its images")


def prune(parser: jsonargparse.ArgumentParser) -> None:
    """Of `prune`."""
    parser.add_argument("run", help="run folder, or the name of a released network")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("pruned.safetensors"),
        help=".safetensors: a plain network, its description and load_pruned.py beside it; .sluice: for the engine, "
        "with the gates that still decide by the image",
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the training images for which a gate must do the same"
    )
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def evaluate(parser: jsonargparse.ArgumentParser) -> None:
    """Of `evaluate`."""
    parser.add_argument("target", metavar="RUN|NET", help="a run folder, or a network's name")
    parser.add_argument("--weights", type=Path | None, help="safetensors file")
    parser.add_argument("--data", type=str | None, help="data set; a run's own if left out")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")
    parser.add_argument("--limit", type=int | None, help="measure on this many images")
    parser.add_argument("--size", type=int | None, help="resize and crop images to this size")
    parser.add_argument("--normalize", type=str | None, help="use the mean and std of 'imagenet' or of a data set")
    parser.add_argument("--strategy", choices=STRATEGIES, help="how gates decide; default: threshold")
    parser.add_argument(
        "--threshold",
        type=float,
        nargs="+",
        help="probability above which a gate is open; with several values, measure each",
    )
    parser.add_argument("--passes", type=int | None, help="passes of the ensemble strategy; default 5")
    parser.add_argument(
        "--repeats", type=int, default=1, help="number of measurements; prints mean and standard deviation"
    )
    parser.add_argument("--batch-size", type=int, default=256, help="images in one pass")
    parser.add_argument("--device", type=str | None, help="cpu, cuda, ...; default: the GPU if there is one")


def export(parser: jsonargparse.ArgumentParser) -> None:
    """Of `export`."""
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("model.sluice"), help="the file to write")
    parser.add_argument("--weights", type=Path | None, help="safetensors file; the run's last weights if left out")
    parser.add_argument("--threshold", type=float | None, help="probability above which a gate is open; default 0.5")


def release(parser: jsonargparse.ArgumentParser) -> None:
    """Of `release`."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the folder to write; the network gets its name"
    )
    parser.add_argument(
        "--licence", required=True, help="licence of the weights, and source of the weights that training started from"
    )
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set")


def bench(parser: jsonargparse.ArgumentParser) -> None:
    """Of `bench`."""
    _model(parser)
    parser.add_argument(
        "files", nargs="*", type=Path, default=[], metavar="IMAGE", help="images to time the network on"
    )
    parser.add_argument("--batch-size", type=int, default=1, help="images in one call")
    parser.add_argument("--repeats", type=int, default=100, help="timed calls of each engine")
    parser.add_argument(
        "--latency", type=Path | None, metavar="TABLE", help="also print the time that this latency table predicts"
    )
    parser.add_argument(
        "--preprocessing", type=str | None, help="how to normalise IMAGE: none, imagenet or MEAN/STD; see predict"
    )


def profile(parser: jsonargparse.ArgumentParser) -> None:
    """Of `profile`."""
    _model(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("table.json"), help="the table to write")


def frontier(parser: jsonargparse.ArgumentParser) -> None:
    """Of `frontier`."""
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("frontier.png"), help="PNG and SVG, or a .html page")
    parser.add_argument("--paper", type=str | None, help="also draw the numbers of a paper: dlcg")
    parser.add_argument("--title", type=str, default="", help="title of the figure")
    parser.add_argument("--in", dest="unit", choices=["macs", "ms"], default="macs", help="cost on the horizontal axis")
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set; --in ms times its images")


def completion(parser: jsonargparse.ArgumentParser) -> None:
    """Of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help='bash: eval "$(sluicegate completion bash)" in ~/.bashrc')


def _model(parser: jsonargparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL|RUN|RECIPE", help=".sluice file, run folder, or recipe (untrained)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="first measure which algorithms are fastest on this machine; the result is kept",
    )
    parser.add_argument("--data-dir", type=Path | None, help="folder of the data set, for a run or recipe")
