"""A program checked against its network before it is written.

Legend: N images, G gates of a site.

Both run on the same images, with gates as they decide, all open, at a threshold that closes about half, and all closed.
Outputs, decisions and MACs must agree. A different decision is no fault if the logit is so close to the threshold that
rounding can change it; this image is then not compared any further.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sluicegate.convert import GatedModel
from sluicegate.errors import InputError
from sluicegate.gates import OPEN_LOGIT, AlwaysOn, GateRecord, GateRecords, Strategy, Threshold, TopK
from sluicegate.graph import kept_modes, shape
from sluicegate.lowering.lower import Lowered
from sluicegate.ops import layout_of
from sluicegate_runtime import Artifact, Op, Program, Result, Session, Value

IMAGES = 2
TOLERANCE = 1e-3
"""Of the largest output: beyond rounding, far below what a wrong op does."""
MARGIN = 1e-3
"""Of a logit from the threshold, as a share of the site's largest: closer ones may be decided by rounding."""


def verify_lowered(
    net: nn.Module, lowered: Lowered, images: Tensor | None = None, tolerance: float = TOLERANCE
) -> None:
    """Check a program against its network.

    Args:
        net: what was lowered.
        lowered: the program.
        images: [n, C, H, W] to compare on; random ones where there are none, or all are zero.
        tolerance: how far an output may be off, as a share of the largest.

    Raises:
        InputError: they disagree; the line says in what, and names the first op that differs.
    """
    check = _Check(net, lowered, _images(lowered.program, images), tolerance)
    with kept_modes(net), torch.no_grad():
        net.eval()
        if not isinstance(net, GatedModel):
            check.outputs(net(check.given()), check.run())
            return
        for what, threshold in _settings(net, check.images):
            _compare(check, net, what, threshold)


class _Check:
    """A network and its program, on the same images."""

    def __init__(self, net: nn.Module, lowered: Lowered, images: Tensor, tolerance: float) -> None:
        self.net, self.lowered, self.images, self.tolerance = net, lowered, images, tolerance
        self.threshold: float | None = None
        self._session = Session(lowered.artifact, threads=1, winograd=False)

    def given(self) -> Tensor:
        """The images as the network takes them."""
        return _on(self.net, self.images)

    def run(self, threshold: float | None = None) -> Result:
        """What the program makes of them."""
        self.threshold = threshold
        return self._session.run(self.images.numpy(), threshold)

    def outputs(self, returned: Any, result: Result, where: str = "", sure: np.ndarray | None = None) -> None:
        """Refuse a program whose outputs, for the images that are `sure`, are not what the network returned."""
        for name, expected in _by_name(returned).items():
            made = result.outputs[name]
            kept = slice(None) if sure is None else sure
            if made.shape != expected.shape:
                self.refuse(f"output {name!r} has shape {made.shape} instead of {expected.shape}")
            if (gap := _gap(made[kept], expected[kept])) > self.tolerance:
                self.refuse(f"output {name!r} is {gap:.2%} off{where}")

    def refuse(self, what: str) -> None:
        """Say what differs, and where first."""
        op = _first_difference(self)
        named = f"; the first op that differs is {op}" if op else ""
        raise InputError(f"net: the exported program would compute something else ({what}){named}; nothing is written")


def _compare(check: _Check, gated: GatedModel, what: str, threshold: float | None) -> None:
    with _deciding(gated, _strategy(threshold)):
        output, records = gated(check.given(), return_gates=True)
        macs = gated.macs(records).cpu().numpy()
        result = check.run(threshold)
        where = f" with {what}"
        alike = _decided_alike(check, gated, records, result, where)
        wrong = (macs != result.macs) & alike
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            check.refuse(f"{int(result.macs[i]):,} MACs instead of {int(macs[i]):,}{where}")
        check.outputs(output, result, where, alike)


def _decided_alike(check: _Check, gated: GatedModel, records: GateRecords, result: Result, where: str) -> np.ndarray:
    """[N]: the images for which all gates decide alike in both.

    For the others rounding has turned a gate whose logit lies at its threshold; what comes after that is no fault.
    """
    alike = np.full(len(result.macs), True)
    for name, record in records.reached().items():
        differs = record.open.bool().cpu().numpy() != result.gates[name]
        near = _near_threshold(gated, record).cpu().numpy()
        if (differs & ~near & alike[:, None]).any():
            check.refuse(f"the gates of {name!r} decide otherwise{where}")
        alike &= ~differs.any(1)
    return alike


def _near_threshold(gated: GatedModel, record: GateRecord) -> Tensor:
    """[N, G]: the gates whose logit rounding may bring to the other side of the threshold."""
    logits = record.logits
    estimator = gated.estimator_of(record.site.name)
    if isinstance(estimator, TopK):
        ordered = logits.sort(dim=1, descending=True).values
        cut = ordered[:, estimator.count(logits.shape[1]) - 1 :][:, :1]
    else:
        cut = gated.strategy.logit if isinstance(gated.strategy, Threshold) else math.inf
    plain = logits.where(logits.abs() < OPEN_LOGIT, 0.0)
    return (logits - cut).abs() <= MARGIN * plain.abs().amax(1, keepdim=True).clamp_min(1.0)


def _gap(made: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest number; where both are no numbers there is none."""
    both = np.isfinite(made) & np.isfinite(expected)
    if not (both | (np.isnan(made) & np.isnan(expected)) | (made == expected)).all():
        return math.inf
    largest = np.abs(expected[both]).max(initial=1e-6)
    return float(np.abs(made[both] - expected[both]).max(initial=0.0) / largest)


def _settings(gated: GatedModel, images: Tensor) -> Iterator[tuple[str, float | None]]:
    """How gates decide in each comparison, and the threshold for it."""
    yield "gates as they decide", None
    if all(isinstance(e, TopK) for gate in gated.gates.values() for e in gate.estimators):
        return
    yield "all gates open", 0.0
    if (threshold := _middle(gated, images)) is not None:
        yield f"gates at threshold {threshold:.3f}", threshold
    yield "all gates closed", 1.0


def _middle(gated: GatedModel, images: Tensor) -> float | None:
    """A threshold in the widest gap between the logits of the middle half."""
    records = gated(_on(gated, images), return_gates=True).gates
    logits = torch.cat([record.logits.flatten() for record in records.values()]).float().sort().values
    middle = logits[len(logits) // 4 : max(len(logits) * 3 // 4, len(logits) // 4 + 2)]
    if len(middle) < 2:
        return None
    gaps = middle.diff()
    at = int(gaps.argmax())
    cut = (middle[at] + middle[at + 1]).item() / 2
    return 1 / (1 + math.exp(-cut)) if gaps[at] > 2 * MARGIN and abs(cut) < 15 else None


def _strategy(threshold: float | None) -> Strategy | None:
    if threshold is None:
        return None
    return AlwaysOn() if threshold == 0 else _AllClosed() if threshold == 1 else Threshold(threshold)


class _AllClosed(Strategy):
    """No gate is open but those that are kept open, and the k largest."""

    def __call__(self, estimator: Any, logits: Tensor, training: bool) -> Tensor:
        if isinstance(estimator, TopK):
            return estimator.decide(logits)
        return (logits >= OPEN_LOGIT).to(logits.dtype)


@contextmanager
def _deciding(gated: GatedModel, strategy: Strategy | None) -> Iterator[None]:
    own = {name: gate.strategy for name, gate in gated.gates.items()}
    try:
        if strategy is not None:
            gated.strategy = strategy
        yield
    finally:
        for name, gate in gated.gates.items():
            gate.strategy = own[name]


def _first_difference(check: _Check) -> str | None:
    """The first op whose value is not the network's, gates as they decided when the program was run last."""
    lowered, images = check.lowered, check.images[:1]
    if not isinstance(check.net, GatedModel):
        return None
    seen = _Values(check.net.network)
    seen.run(check.given()[:1])
    values = {value.name: value for value in lowered.program.values}
    for op in lowered.program.ops:
        node = lowered.nodes.get(op.output or "")
        if node is None or values[op.output or ""].kind == "gate" or op.when or op.unless:
            continue
        expected = _stored(seen.env.get(node), node)
        if expected is not None and _gap(_computed(check, op, images), expected) > check.tolerance:
            return f"{op.name!r} ({op.kind})"
    return None


class _Values(fx.Interpreter):
    """Runs a graph and keeps every value."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module, garbage_collect_values=False)


def _stored(value: Any, node: fx.Node) -> np.ndarray | None:
    """A value of the network as the program stores it: channels first."""
    if not isinstance(value, Tensor) or not shape(node):
        return None
    layout = layout_of(node)
    return value.permute(0, *layout.channels, *layout.pixels).reshape(1, -1).float().cpu().numpy()


def _computed(check: _Check, last: Op, images: Tensor) -> np.ndarray:
    """What the program has made by its op `last`."""
    lowered, program = check.lowered, check.lowered.program
    ops = program.ops[: program.ops.index(last) + 1]
    made = next(value for value in program.values if value.name == last.output)
    whole = Value("value to look at", made.shape)
    ops = (*(op for op in ops if op.kind != "exit"), Op("select", whole.name, (made.name,), whole.name))
    written = {program.input, *(op.output for op in ops)}
    values = (*(value for value in program.values if value.name in written), whole)
    part = replace(program, outputs={"output": whole.name}, values=values, ops=ops, classes=())
    named = {tensor for op in ops for tensor in op.tensors.values()}
    tensors = {name: tensor for name, tensor in lowered.artifact.tensors.items() if name in named}
    result = Session(Artifact(part, tensors), threads=1, winograd=False).run(images.numpy(), check.threshold)
    return result.output.reshape(1, -1)


def _by_name(output: Any) -> dict[str, np.ndarray]:
    if isinstance(output, Tensor):
        return {"output": output.float().cpu().numpy()}
    fields = getattr(output, "_fields", None)
    parts = (
        zip(fields, output, strict=True)
        if fields
        else output.items()
        if isinstance(output, dict)
        else enumerate(output)
    )
    return {str(name): part.float().cpu().numpy() for name, part in parts}


def _images(program: Program, images: Tensor | None) -> Tensor:
    wanted = program.shape(program.input)
    if images is not None and images.dim() == 4 and tuple(images.shape[1:]) == wanted and bool(images.any()):
        return images[:IMAGES].float().cpu().contiguous()
    return torch.randn((IMAGES, *wanted), generator=torch.Generator().manual_seed(0))


def _on(net: nn.Module, images: Tensor) -> Tensor:
    like = next(net.parameters(), images)
    return images.to(like.device, like.dtype)
