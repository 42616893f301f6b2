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
    """The verb `finetune`."""
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
    """The verb `sweep`."""
    wanted = override(recipe(config.recipe), config.overrides)
    out = config.out or Path("runs") / f"sweep-{wanted.name}"
    found = sweep_points(wanted, config.over or [], out, config.resume, config.data_dir, config.jobs, note)
    results = {name: read_result(out / name) for name in found}
    show(config.json, found, *result_tables(results), f"results: {out / 'results.json'}")
