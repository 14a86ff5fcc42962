"""What the commands of `vlac` do. Each takes the parsed arguments and returns the exit code.

Not here: `vlac compile` and the arguments (`vla_toolchain`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator

import numpy as np

from vla_isa import assembly, image, package
from vla_isa.encoding import decode, encode
from vla_isa.errors import BadUsageError, EncodingError
from vla_isa.fields import PACKET_BYTES
from vla_isa.files import check_writable, write_whole
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES, HardwareConfig, load, names
from vla_isa.package import Package
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vlac.ops import OPS
from vlac.partition.table import partition_costs, partitions_text
from vlac.report.html import report_page
from vlac.report.operator_page import operator_page, operator_text
from vlac.report.parts import parts
from vlac.report.summary import estimate_rows, layer_rows, summary
from vlac.report.tasks import task_costs, task_text

__all__ = ["asm", "configs", "disasm", "estimate", "info", "ops", "report"]

_LEFT = (1, 2, 7)  # columns of text in the table of `vlac estimate`
_FACTS = {
    "packets": "instructions",
    "macs": "MACs",
    "cycles": "cycles",
    "weight_bytes": "weight bytes",
    "data_bytes": "data bytes",
    "constant_bytes": "constant bytes",
}


def _programs(found: Program | Package) -> Iterator[tuple[str, Program]]:
    """The programs in what a file held, each with a title that is empty where there is one."""
    if isinstance(found, Program):
        for name in found.entries if found.others else ():
            yield f"entry point {name}", found.at(name)
        if not found.others:
            yield "", found
        return
    for number, part in enumerate(found.partitions):
        if isinstance(part, Program):
            yield f"partition {number}", part


def info(args: argparse.Namespace) -> int:
    """vlac info."""
    found = package.load(args.program)
    if args.json:
        facts = summary(found) if isinstance(found, Program) else {"parts": [vars(c) for c in partition_costs(found)]}
        if isinstance(found, Program) and found.tasks is not None:
            facts = {**facts, "tasks": task_costs(found)}
        if isinstance(found, Program) and found.others:
            facts = {"entry_points": {name: summary(found.at(name)) for name in found.entries}}
        print(json.dumps(facts, indent=1, default=vars))
        return 0
    if isinstance(found, Package):
        print(f"{args.program}: {len(found.partitions)} partitions")
        print(partitions_text(partition_costs(found)))
    for title, program in _programs(found):
        _info(program, title or str(args.program))
    return 0


def _info(program: Program, title: str) -> None:
    facts = summary(program)
    print(f"{title}: program for '{facts['config']}'")
    for key, name in _FACTS.items():
        print(f"  {name:<16} {facts[key]:,}")
    print(
        f"  {'time':<16} {facts['milliseconds']:.3f} ms at {program.config.clock_mhz} MHz, "
        f"{100 * facts['utilization']:.1f} % of peak"
    )
    for kind, when in (("inputs", "first"), ("outputs", "then")):
        for t in facts[kind]:
            print(
                f"  {kind[:-1]:<7} {t['name']} {t['shape']} scale {t['scale']:.6g} zero point {t['zero_point']}"
                + (f", {when} on the host: {', '.join(t['host'])}" if t["host"] else "")
            )
    if program.tasks is not None:
        print("  tasks:")
        print("\n".join(f"    {line}" for line in task_text(task_costs(program)).splitlines()))
    print(f"  entry points: {', '.join(f'{k} at packet {v}' for k, v in program.entries.items())}")
    spaces = dict.fromkeys(m.space for m in program.memory_map)
    sizes = ", ".join(f"{space} {_bytes_of_a_word(space, program.config)}" for space in spaces)
    print(f"  memory map, in words (bytes of a word: {sizes}), while packets first..last run:")
    for m in facts["memory_map"]:
        print(
            f"    {m['space']:<6} {m['start']:>8} +{m['size']:<8} "
            f"{m['first_packet']:>5}..{m['last_packet']:<5}  {m['name']}"
        )


def _bytes_of_a_word(space: str, hw: HardwareConfig) -> int:
    sizes = {"act": hw.act_word_bytes, "weight": hw.weight_word_bytes, "weight_hbm": hw.weight_word_bytes}
    return sizes.get(space, LINE_BYTES)


def estimate(args: argparse.Namespace) -> int:
    """vlac estimate."""
    found = [(title, program) for title, program in _programs(package.load(args.program))]
    if args.json:
        rows = [_estimate_facts(program, nodes=args.nodes) for _, program in found]
        print(json.dumps(rows[0] if not found[0][0] else {"parts": rows}))
        return 0
    for title, program in found:
        if title:
            print(title)
        (_print_nodes if args.nodes else _print_estimate)(program)
    return 0


def _estimate_facts(program: Program, *, nodes: bool) -> dict[str, object]:
    facts = summary(program)
    known = {k: facts[k] for k in ("config", "cycles", "macs", "utilization")}
    if not nodes:
        return {**known, "instructions": estimate_rows(program)}
    made = parts(program)
    return {**known, "nodes": [{**r, "parts": [vars(p) for p in made.get(r["node"], [])]} for r in layer_rows(program)]}


def _print_nodes(program: Program) -> None:
    """A row per node, and below one of several kinds of instructions a row per kind."""
    made, rows = parts(program), [("", "instructions", "cycles", "MACs", "result")]
    for r in layer_rows(program):
        result = " ".join([r.get("type", ""), "x".join(map(str, r.get("shape", [])))])
        rows.append((r["node"], f"{r['packets']:,}", f"{r['busy']:,}", f"{r['macs']:,}", result))
        found = made.get(r["node"], [])
        if len(found) > 1:
            rows += [(f"  {p.name} ({p.op})", f"{p.packets:,}", f"{p.cycles:,}", f"{p.macs:,}", "") for p in found]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for name, *numbers, result in rows:
        print(
            " ".join([name.ljust(widths[0]), *(t.rjust(w) for t, w in zip(numbers, widths[1:], strict=True)), result])
        )
    print("A node's cycles are of its products and vector instructions; nodes and loads overlap in time.")


def _print_estimate(program: Program) -> None:
    """A row per packet, in columns as wide as needed; on a terminal the node's name is cut where the line ends."""
    facts = summary(program)
    rows = [("packet", "op", "queue", "start", "cycles", "MACs", "util", "bound", "node")]
    for r in estimate_rows(program):
        numbers = (f"{r['start']:,}", f"{r['cycles']:,}", f"{r['macs']:,}", f"{100 * r['utilization']:.0f}%")
        rows.append((str(r["index"]), r["op"], r["queue"], *numbers, r["bound"], r["node"]))
    widths = [max(len(row[i]) for row in rows) for i in range(8)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        cells = [t.ljust(w) if i in _LEFT else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths, strict=False))]
        print(" ".join([*cells, row[8]])[:room])
    print(f"{facts['cycles']:,} cycles, {100 * facts['utilization']:.1f} % of peak")


def disasm(args: argparse.Namespace) -> int:
    """vlac disasm."""
    for title, program in _programs(package.load(args.program)):
        print(f"# {args.program.name}{', ' if title else ''}{title} for {program.config.name}")
        _disassemble(program)
    return 0


def _disassemble(program: Program) -> None:
    nodes = {s.packet: s.node for s in program.sources}
    number = 0
    for heap in program.heaps:
        print(f"# heap at line {heap.line}")
        for offset in range(0, len(heap.data), PACKET_BYTES):
            packet = decode(heap.data[offset : offset + PACKET_BYTES])
            node = nodes.get(number, "")
            print(assembly.format_packet(packet) + (f"   # {number} {node}" if node else f"   # {number}"))
            number += 1


def asm(args: argparse.Namespace) -> int:
    """vlac asm: text to a program with one heap; everything else comes from --base, if given."""
    check_writable(args.output)
    if args.base and args.config:
        raise BadUsageError("--config and --base exclude each other: the program is for the config of --base")
    try:
        text = args.source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise EncodingError(f"assembly file '{args.source}' cannot be read: {e}") from e
    packets = assembly.assemble(text)
    base = image.load(args.base) if args.base else None
    hw = base.config if base else load(args.config or "u50")
    program = base or Program(hw, [], [], np.zeros((0, hw.weight_word_bytes), np.int8), 1 << 20, {"main": 0}, [], [])
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
    write_whole(args.output, report_page(package.load(args.program), args.program.name).encode())
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
