"""A fast start for gates: heads are fitted to the contribution of each channel in the trained network (ours).

    c_nk = rms of channel k's values for image n  x  norm of the weights by which the next convolutions read it
    y_nk = [c_nk > q],  q the site's quantile of c over images and channels, so that a share of `open_rate` is 1

During the fit every gate is open and the network is frozen, so its features are those of the trained network. Heads
learn y by binary cross entropy, in some hundred steps of Adam. With `softness` s > 0 the target is
sigmoid(log(c / q) / s): about one half for a channel whose contribution is about q. The contribution of a layer gate is
the rms of the branch's output. A channel that no convolution reads counts with a norm of 1.

Legend: N images, C channels, H W pixels, G gates of a site.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sluicegate.convert import GatedModel
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, GateSite

_TINY = 1e-12  # under a logarithm; contributions of live channels are far above


class Fit(NamedTuple):
    """How well heads fit: by site the share of decisions that agree with their (rounded) targets in the last steps."""

    agreement: dict[str, float]
    steps: int


def fit_gates(
    gated: GatedModel,
    batches: Iterable[Tensor],
    open_rate: float = 0.6,
    steps: int = 300,
    lr: float = 1e-2,
    softness: float = 0.0,
    calibration: int = 8,
) -> Fit:
    """Fit the gates of a network to the contributions of the channels they gate (see the top of the file).

    Args:
        gated: a gated network whose plain part is trained; only its gates' parameters and norms change.
        batches: [N, C, H, W] as the network takes them; the first `calibration` set the quantiles and are used again.
        open_rate: share of the (image, channel) pairs of each site that should be open, in (0, 1).
        steps: steps of Adam; fewer if there are fewer batches.
        lr: learning rate of Adam; it falls linearly to a tenth.
        softness: s at the top of the file; 0 for targets of 0 and 1.
        calibration: batches that the quantiles are taken from.

    Returns:
        How many decisions agree with their targets.

    Raises:
        InputError: a value outside its range, no batches, or gates whose outputs are no log-odds (`TopK`).

    Example:
        >>> gated = gate_model(net, ChannelGating(estimator=StraightThrough()), torch.zeros(1, 3, 32, 32))
        >>> fit_gates(gated, (images for images, _ in loader), open_rate=0.6)
        >>> # then train the whole of it
    """
    _check(gated, open_rate, steps, softness)
    rest = iter(batches)
    first = list(islice(rest, calibration))
    if not first:
        raise InputError("batches: none; a fit needs one at least")
    with _only_gates(gated):
        seen = Contributions(gated)
        quantiles = _quantiles([seen(images) for images in first], open_rate)
        return _fit(gated, seen, quantiles, chain(first, rest), steps, lr, softness)


class Contributions:
    """What each gated channel contributes to an image: [N, C, H, W] -> site name -> [N, G].

    Args:
        gated: the network; every gate is to be open.
    """

    def __init__(self, gated: GatedModel) -> None:
        self.run = _Watched(gated.network, {site.masks for site in gated.sites.values()})
        self.sites = gated.sites
        self.norms = {name: _reading_norm(gated.network, site) for name, site in gated.sites.items()}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        values = self.run.values(images)
        return {name: _contribution(values[site.masks], site, self.norms[name]) for name, site in self.sites.items()}


class _Watched(fx.Interpreter):
    """Runs a graph node by node and keeps the values of some."""

    def __init__(self, network: fx.GraphModule, watched: set[str]) -> None:
        super().__init__(network)
        self.watched, self.kept = watched, dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.watched:
            self.kept[n.name] = value.clone()  # a later op may work in place
        return value

    def values(self, images: Tensor) -> dict[str, Tensor]:
        self.kept = {}
        self.run(images)
        return self.kept


def _contribution(value: Tensor, site: GateSite, norm: Tensor | None) -> Tensor:
    """[N, C, H, W] -> [N, G]."""
    power = value.float().square().flatten(2).mean(2) if value.dim() > 2 else value.float().square()  # [N, C]
    if site.kind == "layer":
        return power.mean(1, keepdim=True).sqrt()
    if norm is not None:
        power = power * norm.to(power.device).square()
    return power.unflatten(1, (site.gates, -1)).sum(-1).sqrt()


def _reading_norm(network: fx.GraphModule, site: GateSite) -> Tensor | None:
    """[C], the norm of the weights by which convolutions and linear layers read a site's channels; None without."""
    norms = [_norm_by_input(module) for module in _readers(network, site)]
    if not norms or any(len(norm) != site.channels for norm in norms):
        return None
    return torch.stack(norms).square().sum(0).sqrt()


def _readers(network: fx.GraphModule, site: GateSite) -> Iterator[nn.Module]:
    """The modules with weights that read what a site masks."""
    masked = next(node for node in network.graph.nodes if node.name == site.masks)
    for mask in (user for user in masked.users if user.op == "call_function"):
        for reader in (user for user in mask.users if user.op == "call_module"):
            module = network.get_submodule(str(reader.target))
            if isinstance(module, nn.Conv2d | nn.Linear):
                yield module


def _norm_by_input(module: nn.Module) -> Tensor:
    """[C], the norm of a weight [O, C / groups, ...] for each input channel."""
    weight = module.get_parameter("weight").detach().float()
    groups = module.groups if isinstance(module, nn.Conv2d) else 1
    by_group = weight.flatten(2) if weight.dim() > 2 else weight[..., None]
    by_group = by_group.unflatten(0, (groups, -1))  # [groups, O / groups, C / groups, K]
    return by_group.square().sum((1, 3)).sqrt().flatten()


def _quantiles(calls: list[dict[str, Tensor]], open_rate: float) -> dict[str, Tensor]:
    """Site name -> q, []."""
    joined = {name: torch.cat([one[name] for one in calls]).flatten().double().cpu() for name in calls[0]}
    return {name: values.sort().values[int((1 - open_rate) * (len(values) - 1))] for name, values in joined.items()}


def _fit(
    gated: GatedModel,
    seen: Contributions,
    quantiles: dict[str, Tensor],
    batches: Iterable[Tensor],
    steps: int,
    lr: float,
    softness: float,
) -> Fit:
    optimizer = torch.optim.Adam(gated.gate_parameters(), lr=lr)
    agreed: list[dict[str, float]] = []
    for step, images in zip(range(steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - 0.9 * step / steps)
        wanted = {name: _target(c, quantiles[name], softness) for name, c in seen(images).items()}
        logits = {name: record.logits for name, record in gated(images, return_gates=True).gates.items()}
        loss = torch.stack([binary_cross_entropy_with_logits(logits[name], wanted[name]) for name in logits]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        agreed.append({n: float(((logits[n] > 0) == (wanted[n] > 0.5)).float().mean()) for n in logits})
    last = agreed[-max(1, len(agreed) // 10) :]
    return Fit({name: sum(one[name] for one in last) / len(last) for name in last[0]}, len(agreed))


def _target(contribution: Tensor, quantile: Tensor, softness: float) -> Tensor:
    """[N, G] -> [N, G] in [0, 1]."""
    quantile = quantile.to(contribution)
    if softness == 0:
        return (contribution > quantile).to(contribution.dtype)
    return torch.sigmoid(((contribution + _TINY).log() - (quantile + _TINY).log()) / softness)


@contextmanager
def _only_gates(gated: GatedModel) -> Iterator[None]:
    """Every gate open, the plain network frozen and on its running statistics; afterwards all is as it was."""
    modes = {module: module.training for module in gated.modules()}
    asked = {p: p.requires_grad for p in gated.network_parameters()}
    strategy, cached = gated.strategy, torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # an autocast around all steps would keep using the weights of the first
    gated.eval()
    for module in _gate_modules(gated):
        module.train()
    for parameter in asked:
        parameter.requires_grad_(False)
    gated.strategy = AlwaysOn()
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)
        gated.strategy = strategy
        for parameter, wants in asked.items():
            parameter.requires_grad_(wants)
        for module, mode in modes.items():
            module.training = mode


def _gate_modules(gated: GatedModel) -> Iterator[nn.Module]:
    """The modules whose parameters are the gates' own: a head's linear layers and norms."""
    own = {id(p) for p in gated.gate_parameters()}
    for module in gated.modules():
        parameters = list(module.parameters(recurse=False))
        if parameters and all(id(p) in own for p in parameters):
            yield module


def _check(gated: GatedModel, open_rate: float, steps: int, softness: float) -> None:
    if not 0 < open_rate < 1:
        raise InputError(f"open_rate: {open_rate} must lie between 0 and 1")
    if steps < 1:
        raise InputError(f"steps: {steps} must be at least 1")
    if not softness >= 0:
        raise InputError(f"softness: {softness} must be at least 0")
    if any(not estimator.per_gate for gate in gated.gates.values() for estimator in gate.estimators):
        raise InputError("gated: gates that are picked by rank (TopK) cannot be fitted; their outputs are no log-odds")
