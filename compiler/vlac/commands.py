"""What the commands of `vlac` do. Each takes the parsed arguments and returns the exit code.

Not here: parsing and error messages (`cli.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from vla_isa import assembly, image
from vla_isa.encoding import Packet, decode, encode
from vla_isa.errors import BadUsageError, EncodingError
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import HEAP_BYTES, load, names
from vla_isa.program import Program, Segment
from vlac.api import compile_file
from vlac.errors import ModelError
from vlac.files import check_folder, check_writable, make_folder, write_whole
from vlac.ops import OPS
from vlac.ops.page import operator_page, operator_text
from vlac.options import CompileOptions
from vlac.passes import Compilation
from vlac.pipeline import PASSES
from vlac.report.html import report_page
from vlac.report.summary import estimate_rows, summary

__all__ = ["asm", "compile_model", "configs", "disasm", "estimate", "info", "ops", "report"]

_PATIENCE = 2.0  # seconds before progress is shown


class _Progress:
    """One line on a terminal, from two seconds on."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._shown = False

    def __call__(self, name: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._start > _PATIENCE:
            sys.stderr.write(f"\rvlac: {name:<12}")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            sys.stderr.write("\r" + " " * 30 + "\r")


def compile_model(args: argparse.Namespace) -> int:
    """vlac compile."""
    hw = load(args.config)
    dumps = _dump_targets(args.dump_after)
    _check_outputs(args, [args.output, *dumps.values()])
    options = CompileOptions(args.calib, args.calib_method, dump_after=dumps)
    progress = _Progress()
    state = compile_file(args.model, hw, options, progress)
    if args.verify:
        progress("verify")
        _verify(args, options)
    progress.clear()
    program = _program(state)
    if args.report:
        make_folder(args.report)
    write_whole(args.output, image.dumps(program))
    if args.report:
        write_whole(args.report / "report.html", report_page(program, args.model.name).encode())
    if args.time:
        for name, seconds in state.seconds.items():
            print(f"{name:<10} {seconds:8.3f} s", file=sys.stderr)
    facts = summary(program)
    print(
        f"{args.output}: {facts['packets']} instructions for '{hw.name}', {facts['macs'] / 1e6:.2f} MMAC, about "
        f"{facts['cycles']:,} cycles ({facts['milliseconds']:.3f} ms at {hw.clock_mhz} MHz, "
        f"{100 * facts['utilization']:.0f} % of peak)"
    )
    return 0


def _check_outputs(args: argparse.Namespace, files: list[Path]) -> None:
    """Refuse places that cannot be written, or that are one another or the model, before any work is done."""
    for path in files:
        check_writable(path)
    if args.report:
        check_folder(args.report)
        files = [*files, args.report]
    taken = {args.model.resolve(): "the model"}
    for path in files:
        if path.resolve() in taken:
            raise BadUsageError(f"output '{path}' is also {taken[path.resolve()]}; give each its own place")
        taken[path.resolve()] = "another output"


def _program(state: Compilation) -> Program:
    if state.program is None:
        raise ModelError("the passes made no program")
    return state.program


def _dump_targets(texts: list[str]) -> dict[str, Path]:
    known = [p.name for p in PASSES]
    out = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not file or name not in known:
            raise BadUsageError(f"--dump-after takes PASS=FILE, found '{text}'; passes are {', '.join(known)}")
        out[name] = Path(file)
    return out


def _verify(args: argparse.Namespace, options: CompileOptions) -> None:
    """Compile once more with every tensor kept, run it on `sim`, and compare node by node."""
    from vlac.verify import check_nodes, exact_reference, joined, verification_inputs
    from vlarun import Session  # only here: the compiler itself does not need a backend

    if not exact_reference():
        print("not verified: ONNX Runtime's integer kernels are exact only on CPUs with VNNI", file=sys.stderr)
        return
    state = compile_file(args.model, load(args.config), replace(options, keep_all=True, dump_after={}))
    session = Session(_program(state), backend="sim")
    samples = verification_inputs(session.program, options.calibration)
    checks = joined(check_nodes(state, inputs, session.run(inputs, raw=True)) for inputs in samples)
    bad = [c for c in checks if not c.ok]
    if bad:
        raise ModelError(
            "the program differs from ONNX Runtime: "
            + "; ".join(f"'{c.name}' in {c.different} of {c.elements} values by up to {c.largest}" for c in bad)
            + "; this is a fault of the compiler or the model's own kernels, please report it with the model"
        )
    elements, different = sum(c.elements for c in checks), sum(c.different for c in checks)
    print(
        f"verified {len(checks)} nodes against ONNX Runtime on {len(samples)} inputs: {elements - different} of "
        f"{elements} values equal, the others differ by 1"
    )


def info(args: argparse.Namespace) -> int:
    """vlac info."""
    program = image.load(args.program)
    facts = summary(program)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    print(f"{args.program}: program for '{facts['config']}'")
    for key in ("packets", "macs", "cycles", "weight_bytes", "data_bytes", "constant_bytes"):
        print(f"  {key.replace('_', ' '):<16} {facts[key]:,}")
    print(
        f"  {'time':<16} {facts['milliseconds']:.3f} ms at {program.config.clock_mhz} MHz, "
        f"{100 * facts['utilization']:.1f} % of peak"
    )
    for kind in ("inputs", "outputs"):
        for t in facts[kind]:
            print(f"  {kind[:-1]:<7} {t['name']} {t['shape']} scale {t['scale']:.6g} zero point {t['zero_point']}")
    print(f"  entry points: {', '.join(f'{k} at packet {v}' for k, v in program.entries.items())}")
    print("  memory map:")
    for m in facts["memory_map"]:
        print(
            f"    {m['space']:<6} {m['start']:>8} +{m['size']:<8}"
            f" packets {m['first_packet']}..{m['last_packet']}  {m['name']}"
        )
    return 0


def estimate(args: argparse.Namespace) -> int:
    """vlac estimate."""
    program = image.load(args.program)
    facts, rows = summary(program), estimate_rows(program)
    if args.json:
        print(json.dumps({**{k: facts[k] for k in ("config", "cycles", "macs", "utilization")}, "instructions": rows}))
        return 0
    print(
        f"{'packet':>6} {'op':<5} {'queue':<6} {'start':>10} {'cycles':>9} {'MACs':>12} {'util':>6} {'bound':<10} node"
    )
    for r in rows:
        print(
            f"{r['index']:>6} {r['op']:<5} {r['queue']:<6} {r['start']:>10,} {r['cycles']:>9,} {r['macs']:>12,} "
            f"{100 * r['utilization']:>5.0f}% {r['bound']:<10} {r['node']}"
        )
    print(f"{facts['cycles']:,} cycles, {100 * facts['utilization']:.1f} % of peak")
    return 0


def disasm(args: argparse.Namespace) -> int:
    """vlac disasm."""
    program = image.load(args.program)
    nodes = {s.packet: s.node for s in program.sources}
    number = 0
    print(f"# {args.program.name} for {program.config.name}")
    for heap in program.heaps:
        print(f"# heap at line {heap.line}")
        for offset in range(0, len(heap.data), PACKET_BYTES):
            packet = decode(heap.data[offset : offset + PACKET_BYTES])
            node = nodes.get(number, "")
            print(assembly.format_packet(packet) + (f"   # {number} {node}" if node else f"   # {number}"))
            number += 1
    return 0


def asm(args: argparse.Namespace) -> int:
    """vlac asm: text to a program with one heap; everything else comes from --base, if given."""
    check_writable(args.output)
    try:
        text = args.source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise EncodingError(f"assembly file '{args.source}' cannot be read: {e}") from e
    packets = assembly.assemble(text)
    base = image.load(args.base) if args.base else None
    program = base or Program(
        load(args.config),
        [],
        [],
        np.zeros((0, load(args.config).weight_word_bytes), np.int8),
        1 << 20,
        {"main": 0},
        [],
        [],
    )
    if len(packets) * PACKET_BYTES != sum(len(h.data) for h in program.heaps):
        program.sources = []  # they name packets by number
    program.heaps = _split_heaps(packets, program.heaps)
    data = image.dumps(program)
    image.loads(data)  # refuses what could not be loaded, before anything is written
    write_whole(args.output, data)
    return 0


def _split_heaps(packets: list[Packet], old: list[Segment]) -> list[Segment]:
    """One heap of at most 64 KB, or the heaps of the base program where the packets fill them exactly."""
    if [len(h.data) // PACKET_BYTES for h in old] and sum(len(h.data) for h in old) == len(packets) * PACKET_BYTES:
        out, start = [], 0
        for heap in old:
            count = len(heap.data) // PACKET_BYTES
            out.append(Segment(heap.line, b"".join(encode(p) for p in packets[start : start + count])))
            start += count
        return out
    if len(packets) > HEAP_BYTES // PACKET_BYTES:
        raise EncodingError(
            f"{len(packets)} packets exceed the first heap's {HEAP_BYTES // PACKET_BYTES}; give --base with "
            "a program of as many packets"
        )
    return [Segment(0, b"".join(encode(p) for p in packets))]


def report(args: argparse.Namespace) -> int:
    """vlac report."""
    check_writable(args.output)
    write_whole(args.output, report_page(image.load(args.program), args.program.name).encode())
    return 0


def ops(args: argparse.Namespace) -> int:
    """vlac ops."""
    hw = load(args.config)
    sys.stdout.write(operator_page(OPS, hw) if args.markdown else operator_text(OPS, hw))
    return 0


def configs(args: argparse.Namespace) -> int:
    """vlac configs."""
    found = [load(n) for n in names()]
    if args.json:
        print(json.dumps([c.to_dict() for c in found]))
        return 0
    for c in found:
        print(
            f"{c.name:<10} {c.pixels}x{c.block}x{c.block} = {c.macs_per_cycle} MAC/cycle, activations "
            f"{c.act_words * c.act_word_bytes // 1024} KB, weights {c.weight_words * c.weight_word_bytes // 1024} KB, "
            f"masters {c.weight_masters} weight {c.in_masters} in {c.out_masters} out, {c.clock_mhz} MHz"
        )
    return 0
