"""Records of two layer and two channel sites for the tests of objectives.

Legend: N images, G gates of a site.
"""

import torch
from torch import Tensor

import sluicegate as sg

SITES = (
    sg.GateSite("a", "layer", 1, 1, "x", "y"),
    sg.GateSite("a.conv", "channel", 4, 4, "x", "y"),
    sg.GateSite("b", "layer", 1, 1, "x", "y"),
    sg.GateSite("b.conv", "channel", 6, 12, "x", "y"),
)


def random_records(dtype: torch.dtype = torch.float64, images: int = 8) -> sg.GateRecords:
    """Logits from a standard normal and decisions sampled by them; both are leaves."""
    torch.manual_seed(0)
    logits = [torch.randn(images, site.gates, dtype=dtype).requires_grad_() for site in SITES]
    return sg.GateRecords({s.name: sg.GateRecord(s, x, sampled(x)) for s, x in zip(SITES, logits, strict=True)})


def sampled(logits: Tensor) -> Tensor:
    """[N, G] -> [N, G], a leaf."""
    return torch.bernoulli(logits.detach().sigmoid()).requires_grad_()


def exit_records(*opens: list[int]) -> sg.GateRecords:
    """One exit site per list, which holds its gate's decision for each image."""
    records = {}
    for n, values in enumerate(opens):
        site = sg.GateSite(f"exit{n}", "exit", 1, 1, "x", "y")
        is_open = torch.tensor(values, dtype=torch.float64)[:, None].requires_grad_()
        records[site.name] = sg.GateRecord(site, torch.zeros_like(is_open), is_open)
    return sg.GateRecords(records)
