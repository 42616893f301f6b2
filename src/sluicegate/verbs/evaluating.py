"""The verb `evaluate` of the command line."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import jsonargparse
import torch
from torch import nn

from sluicegate.convert import GatedModel
from sluicegate.data import Images, known_statistics
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, Ensemble, Stochastic, Strategy, Threshold
from sluicegate.tables import result_tables, spread_line
from sluicegate.terminal import show
from sluicegate.train import (
    DataRecipe,
    Evaluation,
    NetRecipe,
    Recipe,
    Subject,
    as_subject,
    as_trained_on,
    build_subject,
    load_run,
    load_split,
    provenance,
    read_run_recipe,
    read_run_spec,
    spread,
)
from sluicegate.train import evaluate as measure

_STRATEGIES: dict[str, Callable[[jsonargparse.Namespace], Strategy]] = {
    "threshold": lambda config: Threshold(*config.threshold or ()),
    "stochastic": lambda config: Stochastic(),
    "always-on": lambda config: AlwaysOn(),
    "ensemble": lambda config: Ensemble(5 if config.passes is None else config.passes),
}


def evaluate(config: jsonargparse.Namespace) -> None:
    """The verb `evaluate`."""
    started = time.perf_counter()
    name, net, images = _what_to_measure(config)
    subject = as_subject(net, images)
    found = {}
    for label, strategy in _strategies(config, name, net).items():
        if isinstance(net, GatedModel):
            net.strategy = strategy
        found[label] = [_measured(config, subject, images) for _ in range(config.repeats)]
    first = {label: runs[0] for label, runs in found.items()}
    several = len(found) * config.repeats > 1
    report = {
        "name": name,
        **asdict(next(iter(first.values()))),
        **({"points": {label: spread(runs) for label, runs in found.items()}} if several else {}),
        "by_module": {module: macs._asdict() for module, macs in subject.macs.by_module().items()},
        "seconds": round(time.perf_counter() - started, 3),
        **provenance.provenance(),
    }
    repeated = found if config.repeats > 1 else {}
    show(config.json, report, *result_tables(first), *(spread_line(*item) for item in repeated.items()))


def _what_to_measure(config: jsonargparse.Namespace) -> tuple[str, nn.Module, Images]:
    """The name, the network and the images that `evaluate` is asked for."""
    folder = Path(config.target)
    if folder.is_dir():
        begun = read_run_recipe(folder)
        spec = read_run_spec(folder)
        images = as_trained_on(load_split(_data(config, begun.data), "test", config.data_dir), spec)
        return begun.name, load_run(folder, config.weights, images.spec)[1], images
    for option in ("weights", "data"):
        if config[option] is None:
            raise InputError(f"evaluate: {config.target!r} is not a run folder; a network needs --{option}")
    data = _data(config, DataRecipe(config.data))
    images = load_split(data, "test", config.data_dir)
    wanted = Recipe(config.target, data, NetRecipe(config.target, weights=str(config.weights)))
    return config.target, build_subject(wanted, images).net, images


def _data(config: jsonargparse.Namespace, data: DataRecipe) -> DataRecipe:
    return replace(
        data,
        name=config.data or data.name,
        limit_test=data.limit_test if config.limit is None else config.limit,
        size=data.size if config.size is None else config.size,
    )


def _strategies(config: jsonargparse.Namespace, name: str, net: nn.Module) -> dict[str, Strategy]:
    """What to measure with, by the name that tables call it; an option that nothing would heed is refused."""
    if config.repeats < 1:
        raise InputError(f"repeats: {config.repeats} must be at least 1")
    for option in ("strategy", "threshold", "passes"):
        if config[option] is not None and not isinstance(net, GatedModel):
            raise InputError(f"{option}: {config[option]} is given, but {name} has no gates")
    kind = config.strategy or "threshold"
    for option, wanted in (("threshold", "threshold"), ("passes", "ensemble")):
        if config[option] is not None and kind != wanted:
            raise InputError(f"{option}: {config[option]} is given, but the {kind} strategy has none; leave one out")
    if len(config.threshold or ()) > 1:
        return {f"{name} threshold={at:g}": Threshold(at) for at in config.threshold}
    return {name: _STRATEGIES[kind](config)}


def _measured(config: jsonargparse.Namespace, subject: Subject, images: Images) -> Evaluation:
    return measure(
        subject,
        images,
        normalize=known_statistics(config.normalize) if config.normalize else None,
        batch_size=config.batch_size,
        device=config.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        progress=True,
    )
