"""The help of the command line: verbs in groups, by what a user wants to do."""

import argparse

import jsonargparse

GROUPS = {
    "train": ("demo", "recipes", "sites", "train", "finetune", "sweep", "prune"),
    "measure": ("evaluate", "frontier", "bench", "profile"),
    "export and run": ("export", "predict", "release"),
    "understand": ("report", "info"),
    "shell": ("completion",),
}
"""What a user does -> the verbs for it."""


class GroupedHelp(jsonargparse.DefaultHelpFormatter):
    """Lists the verbs of a parser below the names of their groups."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        verbs = {verb.dest: verb for verb in action._get_subactions()}
        return "\n".join(self._format_group(group, [verbs[name] for name in GROUPS[group]]) for group in GROUPS)

    def _format_group(self, group: str, verbs: list[argparse.Action]) -> str:
        self._indent()
        lines = "".join(map(self._format_action, verbs))
        self._dedent()
        return f"{' ' * self._current_indent}{group}:\n{lines}"
