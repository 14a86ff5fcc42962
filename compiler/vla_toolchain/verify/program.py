"""`vlac compile --verify`: a program beside the user's model, tensor by tensor, and what to tell about it.

Each node is fed the device's integers (`nodes.py`, `source.py`), so differences do not travel and limits can be
judged. The signal-to-noise ratio to the float model does travel: it says where quantization loses.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import onnx

from vla_isa.package import HostPartition
from vla_toolchain.verify.nodes import NodeCheck, check_nodes, joined
from vla_toolchain.verify.reference import Arrays, all_values, random_inputs, user_model
from vla_toolchain.verify.rounds import check_rounds, first_samples, one_round, rewritten_rounds
from vla_toolchain.verify.source import DeviceRun, RewriteCheck, check_outputs, check_rewrite, check_source
from vlac.api import compile_file
from vlac.errors import ModelError
from vlac.model.carried import repeat_of
from vlac.passes import Compilation
from vlarun.partitions import HostRunner, PackageSession, open_session
from vlarun.session import Session

__all__ = ["SAMPLES", "Row", "Verification", "verify"]

SAMPLES = 4
_OUTPUT = "_QuantizeLinear_Input"  # what ONNX Runtime's quantizer calls the float value of a model output
_NAME = 36  # columns of a table for a name, so that a line has 80


@dataclass(frozen=True)
class Row:
    """One tensor over all samples: the comparison, and powers of signal and noise against the float model."""

    check: NodeCheck
    signal: float = 0.0
    noise: float = 0.0

    @property
    def snr(self) -> float | None:
        """Signal-to-noise ratio in dB; None where the float model lacks the tensor or nothing differs."""
        return float(10 * np.log10(self.signal / self.noise)) if self.signal > 0 and self.noise > 0 else None

    def joined(self, other: Row) -> Row:
        """Both as one."""
        return Row(joined([[self.check, other.check]])[0], self.signal + other.signal, self.noise + other.noise)


@dataclass
class Verification:
    """What was found.

    Attributes:
        rows: every tensor of the device, beside the user's model where that is quantized and has it.
        by_source: how many of them are.
        ends: outputs of a quantized model from end to end.
        rewrites: outputs of the rewritten float model beside the user's.
        rounds: outputs of a repeated model beside those of its rounds one after the other.
        linked: outputs of an entry point of a program of several graphs beside those of its graph alone.
        constants: outputs of a program, or of its entry points, with constant inputs beside the one that takes them.
        unjudged: why a comparison could not be made.
    """

    rows: list[Row] = field(default_factory=list)
    by_source: int = 0
    ends: list[NodeCheck] = field(default_factory=list)
    rewrites: list[RewriteCheck] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    rounds: list[NodeCheck] = field(default_factory=list)
    linked: list[NodeCheck] = field(default_factory=list)
    constants: list[NodeCheck] = field(default_factory=list)

    def text(self) -> str:
        """For a person: one line per tensor, then the comparisons of whole outputs."""
        return "\n".join([*_table(self.rows), *self._ends()])

    def _ends(self) -> Iterable[str]:
        elements = sum(r.check.elements for r in self.rows)
        equal = elements - sum(r.check.different for r in self.rows)
        yield f"verified {len(self.rows)} nodes against ONNX Runtime: {equal} of {elements} values equal"
        for title, checks in (
            (f"{self.by_source} of them in the model as it was given; its outputs from end to end:", self.ends),
            ("of one round; all rounds in one program beside one after the other:", self.rounds),
            ("its entry point of the program beside the graph alone, state handed on:", self.linked),
            ("with inputs that are constants beside the program that takes them:", self.constants),
        ):
            if checks:
                yield title
            for c in checks:
                yield f"  {_short(c.name)}: at most {c.largest} LSB, {_percent(c)} equal"
        if self.rewrites:
            yield "the rewritten float model beside the given one, largest difference:"
        for r in self.rewrites:
            yield f"  {_short(r.name)}: {r.error:.1e} of its largest value"
        for reason in self.unjudged:
            yield textwrap.fill(f"not judged: {reason}", 80)

    def faults(self, *, exact: bool) -> list[str]:
        """What is outside the limits; differences of integers only where ONNX Runtime is exact."""
        found = [
            f"the rewritten model is not the given one: output '{r.name}' is off by {r.error:.1e} of its largest value"
            + (f", first seen at {r.first}" if r.first else "")
            for r in self.rewrites
            if not r.ok
        ]
        found += [f"the rounds in one program are not its runs: output '{c.name}'" for c in self.rounds if c.different]
        found += [
            f"the entry point does not what its graph does: output '{c.name}' differs in {c.different} values"
            for c in self.linked
            if c.different
        ]
        found += [
            f"with constant inputs it is another program: output '{c.name}' differs in {c.different} values"
            for c in self.constants
            if c.different
        ]
        bad = [r.check for r in self.rows if not r.check.ok] if exact else []
        if bad:
            nodes = "; ".join(f"'{c.name}' in {c.different} of {c.elements} values by up to {c.largest}" for c in bad)
            found.append(f"the program differs from ONNX Runtime by more than 1 or in too many values: {nodes}")
        return found


def verify(state: Compilation, on_progress: Callable[[str], None], probed: Compilation | None = None) -> Verification:
    """Compile once more with debug outputs, run all parts on a few samples, and compare them.

    Args:
        state: what `compile_file` returned.
        probed: the same with debug outputs, where that is compiled already.

    Samples are those held out from calibration, else the first calibration samples, or random numbers where the
    model was quantized by another tool.
    """
    assert state.quantized is not None
    if repeat_of(state.quantized.model).count > 1:
        return _verify_rounds(state, on_progress)
    given = state.given or state.path
    if probed is None:
        probed = compile_file(given, state.hw, replace(state.options, debug_outputs=True, dump_after={}), on_progress)
    on_progress("verify")
    assert probed.qdq is not None and probed.quantized is not None
    source, reference = user_model(given), probed.quantized.reference
    samples = [*probed.quantized.held_out, *probed.quantized.samples][:SAMPLES]
    samples = samples or [random_inputs(probed.qdq, seed) for seed in range(SAMPLES)]
    found = Verification()
    values = _float_values(reference or probed.qdq, source if reference else None, samples, found)
    pieces = probed.package.partitions if probed.package else [probed.program]
    parts = [HostRunner(p) if isinstance(p, HostPartition) else Session(p) for p in pieces if p is not None]
    rows: list[list[Row]] = []
    checks: list[list[NodeCheck]] = []
    for inputs, real in zip(samples, values, strict=True):
        runs, results = _run(probed, parts, inputs)
        lost = sorted({o.name for o in source.graph.output} - set(results))
        if lost:
            raise ModelError(f"the program lacks outputs of the model: {', '.join(lost)}; please report this")
        rows.append([row for run in runs for row in _rows(run, real)])
        if reference is None:
            checks.append(_guarded(found, partial(check_source, source, runs, inputs, results)))
    found.rows, found.by_source = _merged(rows, joined(checks))
    if reference is not None:
        found.rewrites = _rewrites(source, reference, [*samples, random_inputs(probed.qdq, 0)], found)
        behind = {o.name for o in source.graph.output} - {r.name for r in found.rewrites} - set(probed.direct)
        if probed.tail is not None and behind:
            found.unjudged.append(f"{', '.join(sorted(behind))}: behind values without a fixed shape")
    else:
        product = state.package or state.program
        assert product is not None
        session = open_session(product)
        ends = [partial(_end, source, state, session, inputs) for inputs in samples]
        found.ends = joined(_guarded(found, check) for check in ends)
    return found


def _verify_rounds(state: Compilation, on_progress: Callable[[str], None]) -> Verification:
    """Every node of one round, and all rounds from end to end."""
    on_progress("verify")
    assert state.quantized is not None and state.program is not None
    made, once, found = state.quantized, one_round(state), Verification()
    assert once.program is not None
    given = [*made.held_out, *made.samples]
    samples = given[:: max(1, len(given) // SAMPLES)][:SAMPLES]
    samples = samples or [random_inputs(state.qdq, seed) for seed in range(SAMPLES)]
    values = _float_values(made.reference or state.qdq, None, samples, found)
    parts = [Session(once.program)]
    rows = [_rows(run, real) for s, real in zip(samples, values, strict=True) for run in _run(once, parts, s)[0]]
    found.rows, _ = _merged(rows, [])
    first = first_samples(made.model, given or samples)[:SAMPLES]
    found.rounds = joined([check_rounds(state, once, first)])
    source = user_model(state.given or state.path)
    if made.reference is None:
        return found
    if state.options.repeat > 1:
        found.rewrites = _rewrites(source, made.reference, samples, found)
    else:
        found.rewrites = rewritten_rounds(state, source, first)
    return found


def _end(
    source: onnx.ModelProto, state: Compilation, session: PackageSession | Session, inputs: Arrays
) -> list[NodeCheck]:
    return check_outputs(source, state, inputs, session.run(inputs))


def _run(probed: Compilation, parts: Sequence[HostRunner | Session], inputs: Arrays) -> tuple[list[DeviceRun], Arrays]:
    """All parts one after the other, as the runtime does: the device partitions' runs, and every value by name."""
    values, runs, states = dict(inputs), [], iter(probed.partitions or [probed])
    for part in parts:
        if isinstance(part, HostRunner):
            values |= part.run(values)
            continue
        feeds = {v.name: values[v.name] for v in part.program.model_inputs}
        runs.append(DeviceRun(next(states), feeds, part.device_outputs(feeds)))
        values |= part.run(feeds)
    return runs, values


def _guarded(found: Verification, check: Callable[[], list[NodeCheck]]) -> list[NodeCheck]:
    try:
        return check()
    except ModelError as e:
        found.unjudged = list(dict.fromkeys([*found.unjudged, str(e)]))
        return []


def _float_values(
    model: onnx.ModelProto, source: onnx.ModelProto | None, samples: Sequence[Arrays], found: Verification
) -> list[Arrays]:
    """Every float value by name, for each sample: the rewritten model's, where channels may be equalized, else the
    user's own.
    """
    try:
        runs = [all_values(m) for m in (source, model) if m is not None]
        return [{k: v for run in runs for k, v in run.run(inputs).items()} for inputs in samples]
    except ModelError as e:
        found.unjudged.append(str(e))
        return [{} for _ in samples]


def _rows(run: DeviceRun, reals: Arrays) -> list[Row]:
    device = {t.label: (t, q) for t, q in run.tensors()}
    rows = []
    for check in check_nodes(run.part, run.inputs, run.raw):
        known = device.get(check.name)  # not that of an output which copies an input
        name = check.name.removesuffix(_OUTPUT)
        check, real = replace(check, name=name), reals.get(name)
        if known is None or real is None or real.shape != known[1].shape:
            rows.append(Row(check))
            continue
        tensor, q = known
        noise = (q.astype(np.float64) - tensor.zero_point) * tensor.scale - real
        rows.append(Row(check, float((real.astype(np.float64) ** 2).sum()), float((noise**2).sum())))
    return rows


def _merged(runs: list[list[Row]], checks: list[NodeCheck]) -> tuple[list[Row], int]:
    """One row per tensor; its check is the one in the user's model where there is one."""
    rows: dict[str, Row] = {}
    for row in (r for run in runs for r in run):
        rows[row.check.name] = rows[row.check.name].joined(row) if row.check.name in rows else row
    for check in checks:
        name = check.name.removesuffix(_OUTPUT)
        before = rows.get(name, Row(check))
        rows[name] = replace(before, check=replace(check, name=name))
    return list(rows.values()), len(checks)


def _rewrites(
    source: onnx.ModelProto, reference: onnx.ModelProto, samples: Sequence[Arrays], found: Verification
) -> list[RewriteCheck]:
    """The worst check of each output."""
    worst: dict[str, RewriteCheck] = {}
    try:
        for inputs in samples:
            for check in check_rewrite(source, reference, inputs):
                before = worst.get(check.name, check)
                worst[check.name] = max(before, check, key=lambda c: (c.wrong, c.error))
    except ModelError as e:
        found.unjudged.append(str(e))
    return list(worst.values())


def _table(rows: list[Row]) -> Iterable[str]:
    width = min(max((len(r.check.name) for r in rows), default=4), _NAME)
    yield f"{'node':<{width}} {'values':>10} {'max LSB':>8} {'equal':>10} {'SNR to float':>12}"
    for row in rows:
        c, snr = row.check, "-" if row.snr is None else f"{row.snr:.1f} dB"
        yield f"{_short(c.name):<{width}} {c.elements:>10} {c.largest:>8} {_percent(c):>10} {snr:>12}"


def _percent(check: NodeCheck) -> str:
    return f"{100 * (1 - check.different / max(check.elements, 1)):.3f} %"


def _short(name: str) -> str:
    """A name that fits the table: its ends, which tell names of one model apart."""
    kept = _NAME - 3
    return name if len(name) <= _NAME else f"{name[: kept // 3]}...{name[-(kept - kept // 3) :]}"
