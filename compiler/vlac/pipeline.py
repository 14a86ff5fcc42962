"""The way of a model through the compiler, read as a sentence."""

from __future__ import annotations

import gc
from dataclasses import replace

import onnx_ir as ir

from vlac.analysis.support import refusals
from vlac.emit.write_program import write_program
from vlac.errors import ModelError, UnsupportedError
from vlac.import_onnx import parse_model
from vlac.import_onnx.direct_outputs import direct_outputs
from vlac.import_onnx.names import name_all
from vlac.import_onnx.rounds import Rounds, one_round
from vlac.import_onnx.source import Source
from vlac.import_onnx.unrolled import roll_up
from vlac.ir.text import graph_text
from vlac.legalize.direct_outputs import with_direct_outputs
from vlac.legalize.legalize import legalize
from vlac.lowering.unary import largest_width
from vlac.model.carried import set_carried, set_repeat
from vlac.model.policy_graphs import said_policy
from vlac.model.task_masks import KEY as TASK_MASKS
from vlac.model.task_masks import read_task_masks
from vlac.passes import Compilation, Pass
from vlac.plan.program_plan import plan_program
from vlac.plan.text import plan_text
from vlac.quantize.dialects import canonical, dequantize_weights
from vlac.quantize.rounding import set_rounding
from vlac.quantize.static import is_quantized, quantize_model
from vlac.rewrite import rewrite_float
from vlac.rewrite.split_wide import split_wide

__all__ = ["PASSES"]


def _import(c: Compilation) -> None:
    if c.options.constants and c.options.allow_host:
        raise UnsupportedError(["inputs that are constants and partitions of the host do not go together"])
    c.source = c.read()
    found = one_round(c.source) if c.options.repeat == 1 and not c.options.allow_host else None
    said = {p.key: p.value for p in c.source.light.metadata_props}.get(TASK_MASKS)
    masked = c.options.task_masks is not None or said is not None
    c.model, c.tail = parse_model(c.source if found is None else found[0], str(c.path), merge_convs=not masked)
    c.source = Source(c.source.light)  # the model has the constants
    dequantize_weights(c.model)
    set_rounding(c.model, c.options.rounding, quantized=is_quantized(c.model))
    name_all(c.model)
    rounds = Rounds(c.options.repeat, {}, c.options.counter) if found is None else found[1]
    if found is None and not masked:  # a mask may be of one step alone
        rounds = _rolled_up(c) or rounds
    set_carried(c.model, {**c.options.carry, **rounds.carry})
    set_repeat(c.model, rounds.count, rounds.counter)
    c.tasks = read_task_masks(c.model, c.options.task_masks, said, c.hw)
    if c.tasks.channels and c.options.allow_host:
        raise ModelError(f"{c.tasks.origin}: a program with host partitions has no tasks; compile without --allow-host")


def _rolled_up(c: Compilation) -> Rounds | None:
    """The equal steps of a float model made one, where the user has said nothing of rounds."""
    model, options = _model(c), c.options
    plain = options.repeat == 1 and not options.carry and not options.allow_host and c.tail is None
    return roll_up(model) if plain and not is_quantized(model) else None


def _rewrite(c: Compilation) -> None:
    model = _model(c)
    if is_quantized(model):
        c.model = canonical(model)
    else:
        c.model = rewrite_float(model, merge_convs=not c.tasks.channels)
        split_wide(c.model, largest_width(c.hw), c.hw.block)
    name_all(c.model)
    c.direct |= direct_outputs(c.model)
    found = refusals(c.model, c.hw)
    if c.options.allow_host:
        c.host = {name: refusal.reason for name, refusal in found.items()}
    elif found or c.tail is not None:
        raise UnsupportedError([*found.values(), *(c.tail.refusals if c.tail is not None else ())])


def _quantize(c: Compilation) -> None:
    c.quantized = quantize_model(_model(c), c.options, host=c.host, joint=c.joint, tasks=c.tasks)
    if not c.options.keep_float:
        c.quantized = replace(c.quantized, floating=None, trial=None)
        c.model = c.quantized.model
        gc.collect()  # its nodes and values refer to each other, and passes on the device graph run without a collector
    c.model = c.quantized.model


def _legalize(c: Compilation) -> None:
    options, layouts = c.options, None if c.joint is None else c.joint.layouts
    c.graph = legalize(
        _model(c),
        c.hw,
        constants=options.constants,
        debug_outputs=options.debug_outputs,
        check=options.checks,
        layouts=layouts,
        tasks=c.tasks,
    )
    if c.direct:
        assert c.source is not None and c.graph.signature is not None
        c.graph.signature = with_direct_outputs(
            c.graph.signature, c.direct, [v.name for v in c.source.light.graph.output], c.graph.fixed
        )


def _plan(c: Compilation) -> None:
    assert c.graph is not None
    c.planned = plan_program(c.graph, c.hw)
    if c.options.checks:
        c.graph.verify("plan")


def _emit(c: Compilation) -> None:
    assert c.graph is not None and c.planned is not None
    c.program = write_program(c.graph, c.planned, c.hw)
    if c.source is not None and (policy := said_policy(c.source.light)):
        c.program.manifest["policies"] = dict.fromkeys(c.program.entries, policy)


def _model(c: Compilation) -> ir.Model:
    if c.model is None:
        raise ModelError("no model was imported")
    return c.model


def _graph_bytes(c: Compilation) -> bytes:
    assert c.graph is not None
    return graph_text(c.graph).encode()


def _plan_bytes(c: Compilation) -> bytes:
    assert c.graph is not None and c.planned is not None
    return plan_text(c.graph, c.planned).encode()


def _onnx_bytes(c: Compilation) -> bytes:
    return bytes(ir.to_proto(_model(c)).SerializeToString())


PASSES = (
    Pass("import", _import, _onnx_bytes),
    Pass("rewrite", _rewrite, _onnx_bytes),
    Pass("quantize", _quantize, _onnx_bytes),
    Pass("legalize", _legalize, _graph_bytes, on_graph=True),
    Pass("plan", _plan, _plan_bytes, on_graph=True),
    Pass("emit", _emit, _plan_bytes, on_graph=True),
)
