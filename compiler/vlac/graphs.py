"""Several graphs of one policy as one program: an entry point each, weights once, state handed from one to another.

A prefix of an observation and the steps of a flow, or a prompt and the tokens behind it. Each graph goes through the
passes; what they share gets one scale: calibration runs them in the order in which they hand state on, and the widest
range that any of them saw is everyone's. Not here: how their programs become one (`emit/link.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa import hardware
from vla_isa.errors import VlaError, check_type, did_you_mean
from vla_isa.files import write_whole
from vla_isa.hardware import HardwareConfig
from vla_isa.program import Program
from vlac.analysis.host_nodes import number_inputs
from vlac.emit.link import Shared, both_ends, link
from vlac.errors import CalibrationError, ModelError
from vlac.model.carried import set_shared
from vlac.model.onnx_runtime import OnnxRuntimeError
from vlac.model.reading import dtype_of, shape_of
from vlac.options import CompileOptions
from vlac.passes import Compilation, Pass, run_passes
from vlac.pipeline import PASSES
from vlac.quantize.calibration import Samples, model_values, names_in, read_samples
from vlac.quantize.equalize_rows import Peaks
from vlac.quantize.float_session import FloatSession
from vlac.quantize.static import Joint, is_quantized

__all__ = ["CompiledGraphs", "check_name", "compile_graphs", "named"]

Graph: TypeAlias = str | Path | onnx.ModelProto
_REWRITTEN, _QUANTIZED = 2, 3  # passes up to then
_LEVELS, _TRIES = 127, 4
_MAX_NAME = 100  # characters of an entry point's


@dataclass(frozen=True)
class CompiledGraphs:
    """The program, and the compilation of each graph by its entry point."""

    program: Program
    parts: Mapping[str, Compilation]


def compile_graphs(
    graphs: Mapping[str, Graph],
    hw: HardwareConfig | str,
    options: CompileOptions | Mapping[str, CompileOptions] | None = None,
    carry: Iterable[tuple[str, str]] = (),
    on_progress: Callable[[str], None] = lambda name: None,
) -> CompiledGraphs:
    """Compile several ONNX models to one program.

    Args:
        graphs: entry point name -> model, a file or in memory; the first is the one that runs where none is named.
        hw: a hardware config, or its name, or a TOML file's.
        options: of all graphs, or of each. Calibration data of a graph may leave out what another graph hands to it:
            it is computed, sample by sample; of N samples here and M there each stands for N / M in turn.
        carry: (ENTRY:INPUT, ENTRY:OUTPUT): an input that is what a run, of the same or of another entry point, left.
        on_progress: gets the name of every graph and pass before it runs.

    Raises:
        VlaError: a subclass that says what is wrong with a model, the data, the options or the state.
        TypeError: an argument is of another type.
    """
    check_type("graphs", graphs, "a mapping of entry point names to models", Mapping)
    config = hardware.load(hw) if isinstance(hw, str) else hw
    _check_names(graphs)
    pairs = [(_end(given, graphs), _end(made, graphs)) for given, made in carry]
    _check_once(pairs)
    shared = [Shared(*made, *given) for given, made in pairs if given[0] != made[0]]
    order = _order(graphs, shared)
    parts = {}
    for name, model in graphs.items():
        mine = options.get(name) if isinstance(options, Mapping) else options
        inside = {given[1]: made[1] for given, made in pairs if given[0] == made[0] == name}
        parts[name] = _part(model, config, _with_carry(name, mine or CompileOptions(), inside))
    for name, part in parts.items():
        _run(name, part, PASSES[:_REWRITTEN], on_progress)
    for name, part in parts.items():
        if part.tasks.channels:
            raise ModelError(
                f"graph '{name}' has tasks, by {part.tasks.origin}; a program of several graphs has none: compile it "
                "alone, or leave the masks out"
            )
    for each in shared:
        _check_ends(each, parts)
    for name, part in parts.items():
        set_shared(_model(part), {value for each in shared for entry, value in _ends(each) if entry == name})
    _fill_samples(order, parts, shared)
    _quantize(parts, shared, on_progress)
    for name in order:
        _lay_down(name, parts, [each for each in shared if each.reader == name], on_progress)
    programs = _programs(parts)
    on_progress("link")
    return CompiledGraphs(link(programs, shared), parts)


def _part(model: Graph, config: HardwareConfig, options: CompileOptions) -> Compilation:
    check_type("graphs", model, "files or onnx.ModelProtos", str, os.PathLike, onnx.ModelProto)
    if isinstance(model, onnx.ModelProto):
        return Compilation(Path(model.graph.name or "model"), config, options, given=model)
    return Compilation(Path(model), config, options)


def _model(part: Compilation) -> ir.Model:
    assert part.model is not None
    return part.model


def _with_carry(name: str, options: CompileOptions, carry: Mapping[str, str]) -> CompileOptions:
    check_type("options", options, "CompileOptions", CompileOptions)
    if options.allow_host:
        raise ModelError(f"graph '{name}': a program of several graphs has no host partitions; leave out --allow-host")
    return replace(options, carry={**options.carry, **carry})


def _run(name: str, part: Compilation, passes: tuple[Pass, ...], on_progress: Callable[[str], None]) -> None:
    with named(name):
        run_passes(passes, part, write_whole, lambda step: on_progress(f"{name}: {step}"))


@contextmanager
def named(name: str, what: str = "graph") -> Iterator[None]:
    """Let an error say which graph, or what else, it is of."""
    try:
        yield
    except VlaError as e:
        e.args = (f"{what} '{name}': {e}", *e.args[1:])
        raise


def _lay_down(
    name: str, parts: Mapping[str, Compilation], given: Sequence[Shared], on_progress: Callable[[str], None]
) -> None:
    """The passes behind quantization; once more where inputs must lie as graphs in front of this one lay them down."""
    part = parts[name]
    _run(name, part, PASSES[_QUANTIZED:], on_progress)
    programs = _programs(parts)
    ends = {each.given: both_ends(programs, each) for each in given}
    other = {value: made.layout for value, (made, taken) in ends.items() if made.layout != taken.layout}
    if other and part.joint is not None:
        part.joint.layouts |= other
        _run(name, part, PASSES[_QUANTIZED:], on_progress)


def _programs(parts: Mapping[str, Compilation]) -> dict[str, Program]:
    return {name: part.program for name, part in parts.items() if part.program is not None}


# --- names --------------------------------------------------------------------------------------------


def _check_names(graphs: Mapping[str, Graph]) -> None:
    if len(graphs) < 2:
        raise ModelError(f"{len(graphs)} graphs are given; a program of several has at least two")
    for name in graphs:
        check_name(name)


def check_name(name: str) -> None:
    """Refuse what the command lines could not say.

    Raises:
        ModelError: names it.
    """
    check_type("an entry point's name", name, "a string", str)
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable() or ":" in name or "=" in name:
        raise ModelError(
            f"entry point {name[:_MAX_NAME]!r}: a name has 1 to {_MAX_NAME} printable characters, neither ':' nor '='"
        )


def _end(text: str, graphs: Mapping[str, Graph]) -> tuple[str, str]:
    """The entry point and the value of one end of what is carried."""
    entry, colon, value = text.partition(":")
    if not (entry and colon and value):
        raise ModelError(f"--carry {text}: with several graphs each end is ENTRY:NAME, for example step:past_key")
    if entry not in graphs:
        raise ModelError(
            f"--carry {text}: there is no entry point '{entry}'; there are {', '.join(graphs)}."
            f"{did_you_mean(entry, graphs)}"
        )
    return entry, value


def _check_once(pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    """An input is one output of its own graph, and one of other graphs: of the first run, and of those behind it."""
    for given, made in pairs:
        same = [m for g, m in pairs if g == given and (m[0] == made[0] or given[0] not in (m[0], made[0]))]
        if len(same) > 1:
            text = " and ".join(f"{':'.join(given)}={':'.join(m)}" for m in same)
            which = "its own graph" if made[0] == given[0] else "another graph"
            raise ModelError(f"--carry {text}: one input takes one output of {which}")


def _ends(each: Shared) -> tuple[tuple[str, str], tuple[str, str]]:
    return (each.entry, each.output), (each.reader, each.given)


def _check_ends(each: Shared, parts: Mapping[str, Compilation]) -> None:
    made, given = _model(parts[each.entry]).graph.outputs, _model(parts[each.reader]).graph.inputs
    found = []
    for kind, entry, name, values in (
        ("output", each.entry, each.output, made),
        ("input", each.reader, each.given, given),
    ):
        known = {v.name or "": v for v in values}
        if name not in known:
            text = f"--carry {each}: graph '{entry}' has no {kind} '{name}'; it has {', '.join(known)}"
            raise ModelError(f"{text}.{did_you_mean(name, known)}")
        found.append(known[name])
    kinds = [f"{dtype_of(v)} {list(shape_of(v))}" for v in found]
    if kinds[0] != kinds[1]:
        raise ModelError(f"--carry {each}: they are {kinds[0]} and {kinds[1]}; both must be of one dtype and shape")


def _order(graphs: Mapping[str, Graph], shared: Sequence[Shared]) -> list[str]:
    """The graphs, each behind those that hand it state.

    Raises:
        ModelError: there is no such order.
    """
    found: list[str] = []
    while left := [name for name in graphs if name not in found]:
        ready = [n for n in left if all(s.entry in found for s in shared if s.reader == n)]
        if not ready:
            raise ModelError(
                f"--carry: {' and '.join(map(repr, left))} hand state to each other in a circle; no order of "
                "them gives calibration the values. Carry one of the states by the host"
            )
        found.append(ready[0])
    return found


# --- one scale ----------------------------------------------------------------------------------------


def _fill_samples(order: Sequence[str], parts: Mapping[str, Compilation], shared: Sequence[Shared]) -> None:
    """Compute what the calibration data of a graph leaves out, with those in front of it."""
    made: dict[str, list[dict[str, NDArray[Any]]]] = {}  # of each sample what is handed on, by output
    for name in order:
        part, model = parts[name], _model(parts[name])
        source = part.options.calibration
        if source is None or is_quantized(model):
            continue
        given = [s for s in shared if s.reader == name and s.entry in made]
        wanted = list(dict.fromkeys(s.output for s in shared if s.entry == name))
        if not given and not wanted:
            continue
        with named(name):
            values, unused = model_values(model)
            samples = read_samples(source, values, {*unused, *(s.given for s in given)}, number_inputs(model))
            left_out = {s.given for s in given} - names_in(source)
            samples = [{n: a for n, a in s.items() if n not in left_out} for s in samples]
            made[name] = _run_samples(part, samples, wanted, given, made)
        if given:
            part.options = replace(part.options, calibration=samples)


def _run_samples(
    part: Compilation,
    samples: Samples,
    wanted: Sequence[str],
    given: Sequence[Shared],
    made: Mapping[str, list[dict[str, NDArray[Any]]]],
) -> list[dict[str, NDArray[Any]]]:
    """Fill samples in place, in order: with what the graph in front made of its sample, or the sample before of this
    graph, where that hands the same on to itself. Returns the outputs `wanted` of each.
    """
    inside = {i: o for i, o in part.options.carry.items() if i in {s.given for s in given}}
    outputs = list(dict.fromkeys([*wanted, *inside.values()]))
    session = FloatSession(_model(part), outputs) if outputs else None
    found: list[dict[str, NDArray[Any]]] = []
    for number, sample in enumerate(samples):
        for each in given:
            if each.given in sample:
                continue
            here, before = (n * len(made[each.entry]) // len(samples) for n in (number, number - 1))
            own = inside.get(each.given)
            follows = own is not None and number > 0 and here == before
            sample[each.given] = found[-1][own] if follows and own else made[each.entry][here][each.output]
        try:
            results = session.run(sample) if session is not None else []
        except OnnxRuntimeError as e:
            raise CalibrationError(f"the float model does not run on the calibration data: {e}") from e
        found.append(dict(zip(outputs, results, strict=True)))
    return found


def _quantize(parts: Mapping[str, Compilation], shared: Sequence[Shared], on_progress: Callable[[str], None]) -> None:
    """Quantize all graphs; again those that saw less of what they share than another one."""
    floats = {n: _model(part).clone() for n, part in parts.items() if not is_quantized(_model(part))}
    peaks: Peaks = {}
    for part in parts.values():
        part.joint = Joint(peaks=peaks)
    used: dict[str, Peaks] = {}
    waiting = set(parts)
    for _ in range(_TRIES):
        for name in [n for n in parts if n in waiting]:
            if parts[name].quantized is not None:
                parts[name].model = floats[name].clone()
            _run(name, parts[name], PASSES[_REWRITTEN:_QUANTIZED], on_progress)
            used[name] = dict(peaks)
        waiting = {n for n in floats if any(not np.array_equal(a, peaks[key]) for key, a in used[n].items())}
        for each in shared:
            waiting |= _widen(each, parts) & set(floats)
        if not waiting:
            return


def _widen(each: Shared, parts: Mapping[str, Compilation]) -> set[str]:
    """Let the narrower of two ends reach as far as the other; the graphs that this changes."""
    scales = [_scale(_model(parts[entry]), value) for entry, value in _ends(each)]
    known = [s for s in scales if s is not None]
    if len(known) < len(scales) or len(set(known)) == 1:
        return set()
    for entry, value in _ends(each):
        joint = parts[entry].joint
        assert joint is not None
        joint.sizes[value] = max(known) * _LEVELS
    return {entry for (entry, _), scale in zip(_ends(each), scales, strict=True) if scale != max(known)}


def _scale(model: ir.Model, name: str) -> float | None:
    """The scale of an input or output of a quantized model."""
    for value in model.graph.outputs:
        node = value.producer()
        if value.name == name and node is not None and node.op_type == "DequantizeLinear":
            return _number(node)
    for value in model.graph.inputs:
        if value.name == name:
            found = [_number(u) for u in value.consumers() if u.op_type == "QuantizeLinear"]
            return found[0] if found else None
    return None


def _number(node: ir.Node) -> float | None:
    scale = node.inputs[1]
    return None if scale is None or scale.const_value is None else float(scale.const_value.numpy().max())
