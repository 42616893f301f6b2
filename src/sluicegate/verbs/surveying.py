"""The verb `sites` of the command line."""

from dataclasses import asdict

import jsonargparse
import torch

from sluicegate.convert import survey
from sluicegate.nets import build_net
from sluicegate.tables import survey_tables
from sluicegate.terminal import show


def sites(config: jsonargparse.Namespace) -> None:
    """The verb `sites`."""
    found = survey(build_net(config.net), torch.zeros(1, config.channels, config.size, config.size))
    lines = (
        f"channel gates reach {found.by_channels:.0%} of {found.macs / 1e6:.1f} million MACs",
        f"layer gates reach {found.by_layers:.0%}, in {len(found.branches)} residual branches",
    )
    show(config.json, asdict(found), *survey_tables(found), *lines)
