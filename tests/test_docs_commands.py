"""Commands in the documentation are understood: their verbs, options, recipes and overrides exist."""

import re
from pathlib import Path

import jsonargparse
import pytest
from pages import DOCUMENTS, PAGES, ROOT, commands_in, commands_of, mentions_of, name_of, text_of

from sluicegate import cli
from sluicegate.errors import InputError
from sluicegate.recipes import recipe
from sluicegate.train import override

STANDS_FOR = {"RECIPE": "dlcg-resnet20-cifar10"}
"""A word that a reader replaces -> what it could be."""

_SHORTEST = re.compile(r"^- \*\*Shortest command:\*\* `([^`]+)`$", re.MULTILINE)
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check(words: list[str]) -> None:
    """See that a command would be understood; InputError or AssertionError where not."""
    program, *arguments = words
    if program == "make":
        assert {word for word in arguments if "=" not in word} <= _TARGETS, f"no such target: {arguments}"
    elif program == "python":
        script = arguments[0]
        assert not script.endswith(".py") or not script.startswith("benchmarks/") or (ROOT / script).is_file(), script
    elif arguments != ["--help"]:
        _check_ours([STANDS_FOR.get(word, word) for word in arguments])


def _check_ours(arguments: list[str]) -> None:
    config = cli._parse(arguments)
    chosen = config[config.verb]
    if "recipe" in chosen:
        override(recipe(chosen.recipe), chosen.overrides)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_commands_are_understood(page: Path) -> None:
    for words in commands_of(page):
        try:
            check(words)
        except Exception as error:
            raise AssertionError(f"{' '.join(words)}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_shortest_command_is_understood(page: Path) -> None:
    (command,) = _SHORTEST.findall(text_of(page))
    for words in commands_in(command + " "):
        check(words)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_verbs_and_options_in_the_text_exist(page: Path) -> None:
    for text in mentions_of(page):
        program, *words = text.split() or [""]
        if program != "sluicegate" or not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        assert words[0] in cli._VERBS, text
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= _options(words[0]), text


def _options(verb: str) -> set[str]:
    parser = cli._new_parser("")
    cli._VERBS[verb].arguments(parser)
    return {"--json", *parser._option_string_actions}


@pytest.mark.parametrize(
    "command",
    [
        "sluicegate fly",
        "sluicegate train dlcg-resnet21-cifar10",
        "sluicegate train dlcg-resnet20-cifar10 epoch=3",
        "sluicegate bench net.sluice --table",
        "make coffee",
        "python benchmarks/absent.py",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    (words,) = commands_in(command)
    with pytest.raises((InputError, AssertionError, jsonargparse.ArgumentError)):
        check(words)
