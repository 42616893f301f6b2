"""The verbs `demo`, `train` and `recipes` of the command line."""

import shutil
from dataclasses import asdict
from pathlib import Path

import jsonargparse

from sluicegate.analysis import save_frontier
from sluicegate.recipes import demo as demo_recipes
from sluicegate.recipes import recipe, recipes
from sluicegate.tables import recipe_table, result_tables, slower_than_dense, speed_table
from sluicegate.terminal import NOTES, note, show
from sluicegate.train import override, provenance, run
from sluicegate.train.frontiers import run_series
from sluicegate.train.products import engine_milliseconds
from sluicegate.train.stages import run_recipe


def demo(config: jsonargparse.Namespace) -> None:
    """The verb `demo`."""
    from sluicegate.verbs.reporting import report_run  # late: pandas and Altair take a second, which `train` can spare

    results = {}
    for number, (point, name) in enumerate(demo_recipes.NAMES.items(), 1):
        note(f"training {number} of {len(demo_recipes.NAMES)}: {name}")
        shutil.rmtree(config.out / name, ignore_errors=True)
        results[point] = run(recipe(name), config.out / name, progress=NOTES.is_terminal)
    folders = {point: config.out / name for point, name in demo_recipes.NAMES.items()}
    figure, *_ = save_frontier(run_series(list(folders.values())), config.out / "frontier.png", "digits")
    milliseconds = engine_milliseconds(folders)
    slower = slower_than_dense(milliseconds)
    points = {point: asdict(one) | {"milliseconds": milliseconds[point]} for point, one in results.items()}
    page = report_run(folders["middle"], config.out / "report.html")
    report = points["middle"] | {"points": list(points.values()), "figure": str(figure), "report": str(page)}
    lines = (*slower, f"figure: {figure}", f"report: {page}")
    show(config.json, report, *result_tables(results), speed_table(milliseconds), *lines)


def train(config: jsonargparse.Namespace) -> None:
    """The verb `train`."""
    wanted = override(recipe(config.recipe), config.overrides)
    out = config.out or Path("runs") / wanted.name
    result = run_recipe(wanted, out, resume=config.resume, data_dir=config.data_dir)
    if provenance.is_first_process():
        show(config.json, asdict(result), *result_tables({result.name: result}), f"run folder: {out}")


def list_recipes(config: jsonargparse.Namespace) -> None:
    """The verb `recipes`."""
    made = [make() for make in recipes().values()]
    show(config.json, {one.name: asdict(one) for one in made}, recipe_table(made))
