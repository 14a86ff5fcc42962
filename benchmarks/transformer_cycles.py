"""Cycles of transformer blocks by the performance model, a count: a block alone, and what one more costs.

    python benchmarks/transformer_cycles.py [--config NAME] [--blocks A,B] [--flows A] [--rtl] [--json FILE]

With --rtl a block alone also runs on the Verilog machine (minutes), whose outputs must be those of `sim`.

Blocks are pre-norm, of random weights: x + O(attention(norm x)), then x + down(gelu(up(norm x))); those of an action
expert (`experts.py`) have a gate, and read keys and values of a prefix. Useful work are the multiply-accumulates of the
model, without the padding of heads and strips.

A block with a condition is RDT's: RMS norms, also of queries and keys by head, and cross attention between the two. It
is repeated as a policy's denoising steps are, and counted is one step; the keys and values of the condition are made
before the first one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from block_shapes import FLOWS, SHAPES, ExpertShape, Shape
from graphs import GraphBuilder
from prepare import compile_model, names_of, random_inputs

import vlarun
from vla_isa import hardware, timing
from vla_isa.program import Program

OPSET = 23


def blocks(shape: Shape | ExpertShape, count: int) -> onnx.ModelProto:
    """So many blocks one behind another."""
    if isinstance(shape, ExpertShape):
        from experts import exported_expert  # with PyTorch

        return exported_expert(shape, count)
    if has_steps(shape):
        return _with_condition(shape, count)
    g, d = GraphBuilder("blocks"), shape.channels
    x = g.input("x", (1, shape.length, d))
    for _ in range(count):
        y = _norm(g, x, d)
        parts = [_linear(g, y, d, d) for _ in range(3)]
        heads = {"q_num_heads": shape.heads, "kv_num_heads": shape.heads}
        a = g.node("Attention", parts, d, is_causal=int(shape.causal), **heads)
        x = g.node("Add", [x, _linear(g, a, d, d)], d)
        hidden = g.node("Gelu", [_linear(g, _norm(g, x, d), d, shape.hidden)], shape.hidden)
        x = g.node("Add", [x, _linear(g, hidden, shape.hidden, d)], d)
    return g.model(x, opset=OPSET)


def _with_condition(shape: Shape, count: int) -> onnx.ModelProto:
    g, d = GraphBuilder("blocks"), shape.channels
    x, condition = g.input("x", (1, shape.length, d)), g.input("condition", (1, shape.keys, d))
    for _ in range(count):
        y = _rms(g, x, d)
        x = g.node("Add", [x, _attended(g, y, y, shape, shape.length)], d)
        x = g.node("Add", [x, _attended(g, _rms(g, x, d), condition, shape, shape.keys)], d)
        hidden = g.node("Gelu", [_linear(g, _rms(g, x, d), d, shape.hidden)], shape.hidden)
        x = g.node("Add", [x, _linear(g, hidden, shape.hidden, d)], d)
    return g.model(x, opset=OPSET)


def _attended(g: GraphBuilder, x: str, keys_of: str, shape: Shape, keys: int) -> str:
    """Attention with norms of the queries and keys of each head, and its projections."""
    d, wide = shape.channels, shape.channels // shape.heads

    def head(y: str, length: int) -> str:
        split = g.node("Reshape", [y, g.constant(np.array([1, length, shape.heads, wide]))], wide)
        return g.node("Transpose", [split], wide, perm=[0, 2, 1, 3])

    q = _rms(g, head(_linear(g, x, d, d), shape.length), wide)
    k = _rms(g, head(_linear(g, keys_of, d, d), keys), wide)
    a = g.node("Attention", [q, k, head(_linear(g, keys_of, d, d), keys)], wide)
    joined = g.node("Transpose", [a], d, perm=[0, 2, 1, 3])
    return _linear(g, g.node("Reshape", [joined, g.constant(np.array([1, shape.length, d]))], d), d, d)


def _rms(g: GraphBuilder, x: str, d: int) -> str:
    gamma = 1 + 0.3 * g.rng.standard_normal(d).astype(np.float32)
    return g.node("RMSNormalization", [x, g.constant(gamma)], d, epsilon=1e-6)


def _linear(g: GraphBuilder, x: str, k: int, n: int) -> str:
    y = g.node("MatMul", [x, g.constant(g.weight(n, k).T / np.float32(2**0.5))], n)
    return g.node("Add", [y, g.constant(0.1 * g.rng.standard_normal(n).astype(np.float32))], n)


def _norm(g: GraphBuilder, x: str, d: int) -> str:
    gamma, beta = (g.rng.standard_normal(d).astype(np.float32) for _ in range(2))
    return g.node("LayerNormalization", [x, g.constant(1 + 0.3 * gamma), g.constant(0.2 * beta)], d, epsilon=1e-5)


def compiled(shape: Shape | ExpertShape, count: int, config: str, steps: int = 2) -> Program:
    """The program of so many blocks; of several steps where they have a condition."""
    model = blocks(shape, count)
    if not has_steps(shape):
        return compile_model(model, config)
    return compile_model(model, config, repeat=steps, carry={"x": model.graph.output[0].name})


def has_steps(shape: Shape | ExpertShape) -> bool:
    """Whether a block is repeated."""
    return isinstance(shape, Shape) and shape.keys > 0


def estimated(shape: Shape | ExpertShape, count: int, config: str) -> int:
    """Cycles by the performance model, of one step where there are several."""
    report = timing.estimate(compiled(shape, count, config))
    ends = [p.end for p in report.packets if p.op == "SET"]  # where fetch waits for the end of a step
    return ends[-1] - ends[-2] if ends else report.total_cycles


def measure(name: str, config: str = "u50") -> dict[str, Any]:
    """Cycles of one block, and of one more behind it."""
    shape = SHAPES[name]
    one, two = (estimated(shape, n, config) for n in (1, 2))
    ideal = shape.macs / hardware.load(config).macs_per_cycle
    return {
        "block": name,
        "config": config,
        "macs": shape.macs,
        "ideal": round(ideal),
        "cycles": one,
        "more": two - one,
        "utilization": ideal / (two - one),
        "least": shape.least,
        "most": shape.most,
    }


def flow(name: str, config: str = "u50") -> Program:
    """All steps of a sampler as one program, a loop over one of them."""
    from experts import exported_flow  # with PyTorch

    shape = FLOWS[name]
    model = exported_flow(shape.block, shape.blocks, shape.steps)
    carry = {"x": model.graph.output[0].name}
    return compile_model(model, config, carry=carry, repeat=shape.steps, counter="step")


def on_verilog(program: Program) -> int:
    """Cycles of a program on the Verilog machine.

    Raises:
        AssertionError: its outputs are not those of `sim`.
    """
    inputs = random_inputs(program)
    session = vlarun.Session(program, backend="rtl")
    found, wanted = session.run(inputs, raw=True), vlarun.Session(program).run(inputs, raw=True)
    assert all(np.array_equal(found[n], wanted[n]) for n in wanted)
    assert session.result is not None and session.result.cycles is not None
    return int(session.result.cycles)


def block_on_verilog(shape: Shape | ExpertShape, config: str) -> int:
    """Cycles of one block, of one more step where there are several."""
    first = on_verilog(compiled(shape, 1, config))
    return on_verilog(compiled(shape, 1, config, steps=3)) - first if has_steps(shape) else first


def reached(row: dict[str, Any]) -> bool:
    """Whether it is within its targets."""
    return row["utilization"] >= (row["least"] or 0) and row["more"] <= (row["most"] or row["more"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="u50")
    parser.add_argument("--blocks", type=names_of(SHAPES), default=",".join(SHAPES), help=f"of {', '.join(SHAPES)}")
    parser.add_argument(
        "--flows", type=names_of(FLOWS, none=True), default=",".join(FLOWS), help=f"of {', '.join(FLOWS)}; '' for none"
    )
    parser.add_argument("--rtl", action="store_true", help="run a block alone on the Verilog machine too")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    print(f"{'block':16s}{'MMAC':>10s}{'ideal':>12s}{'one':>12s}{'one more':>12s}{'used':>8s}{'target':>10s}")
    for name in args.blocks:
        row = measure(name, args.config)
        rows.append(row)
        target = f"{row['least']:.0%}" if row["least"] else f"{row['most']:,d}" if row["most"] else "-"
        print(
            f"{name:16s}{row['macs'] / 1e6:10.1f}{row['ideal']:12,d}{row['cycles']:12,d}{row['more']:12,d}"
            f"{row['utilization']:8.1%}{target:>10s}",
            flush=True,
        )
        if args.rtl:
            row["rtl"] = block_on_verilog(SHAPES[name], args.config)
            used, off = row["ideal"] / row["rtl"], row["cycles"] / row["rtl"] - 1
            print(f"{'  on rtl':38s}{row['rtl']:12,d}  {used:.1%} used, model {off:+.2%}", flush=True)
    for name in args.flows:
        program = flow(name, args.config)
        row = {"flow": name, "config": args.config, "cycles": timing.estimate(program).total_cycles}
        rows.append(row)
        print(f"{name:38s}{row['cycles']:12,d}", flush=True)
        if args.rtl:
            row["rtl"] = on_verilog(program)
            print(f"{'  on rtl':38s}{row['rtl']:12,d}  model {row['cycles'] / row['rtl'] - 1:+.2%}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(not all(reached(r) for r in rows if "block" in r))


if __name__ == "__main__":
    raise SystemExit(main())
