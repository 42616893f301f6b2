"""The verbs `finetune` and `sweep` of the command line."""

from dataclasses import asdict
from pathlib import Path

import jsonargparse

from sluicegate.recipes import recipe
from sluicegate.tables import finetune_table, result_tables, slower_than_dense
from sluicegate.terminal import note, show
from sluicegate.train import override, provenance, read_result
from sluicegate.train.finetuning import TABLE, finetune_recipe, run_name
from sluicegate.train.finetuning import finetune as finetuned
from sluicegate.train.sweep import sweep as sweep_points


def finetune(config: jsonargparse.Namespace) -> None:
    """Add gates to a trained network and fine-tune it to a target cost; measure it before and after."""
    options = ("net", "weights", "data", "target", "kind", "epochs", "size", "normalize", "teacher", "table", "workers")
    asked = {name: config[name] for name in options}
    out = config.out or Path("runs") / run_name(config.net, config.data, config.target)
    if config.kind == "ms" and config.table is None:
        asked["table"] = str(out / TABLE)
    wanted = override(finetune_recipe(**asked), config.overrides)
    data_dir = Path(config.data) if Path(config.data).is_dir() else config.data_dir
    found = finetuned(wanted, out, config.resume, data_dir, config.threads, note=note)
    if provenance.is_first_process():
        slower = slower_than_dense({"dense": found.before.ms, found.name: found.after.ms})
        show(config.json, asdict(found), finetune_table(found), *slower, f"run folder: {out}", f"file: {found.file}")


def sweep(config: jsonargparse.Namespace) -> None:
    """Train a recipe once for each value of an option, one after another or in parallel."""
    wanted = override(recipe(config.recipe), config.overrides)
    out = config.out or Path("runs") / f"sweep-{wanted.name}"
    found = sweep_points(wanted, config.over or [], out, config.resume, config.data_dir, config.jobs, note)
    results = {name: read_result(out / name) for name in found}
    show(config.json, found, *result_tables(results), f"results: {out / 'results.json'}")


def finetune_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """What `finetune` takes."""
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


def sweep_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """What `sweep` takes."""
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
