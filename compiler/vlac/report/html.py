"""One self-contained page about a program: facts, layers, host partitions, memory, inputs and outputs.

Not here: the numbers (`summary.py`, `partition/table.py`) and the pictures (`maps.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

from vla_isa.hardware import LINE_BYTES
from vla_isa.package import Package
from vla_isa.program import Program
from vlac.errors import grouped
from vlac.partition.table import PartitionCost, partition_costs, refused_nodes, total_text
from vlac.quantize.sensitivity import LayerLoss
from vlac.report.accuracy import NodeAccuracy
from vlac.report.maps import scratchpad_map, space_map
from vlac.report.parts import Part, parts
from vlac.report.summary import layer_rows, summary, weight_regions
from vlac.report.tasks import HEAD, task_costs
from vlac.report.wide_tensors import wide_tensors

__all__ = ["report_page"]

_STYLE = """
:root{--ink:#1d2430;--soft:#5d6878;--line:#e3e7ee;--back:#f5f7fa;--accent:#4c78a8}
*{box-sizing:border-box}
body{font:14px/1.5 system-ui,"Segoe UI",sans-serif;color:var(--ink);background:var(--back);margin:0}
main{max-width:78rem;margin:0 auto;padding:1.5rem}
header h1{font-size:1.6rem;margin:0}header p{color:var(--soft);margin:.2rem 0 1rem}
section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:1rem 1.2rem;margin:1rem 0}
section{overflow-x:auto}
h2{font-size:1.05rem;margin:.1rem 0 .7rem}h3{font-size:.9rem;margin:1.1rem 0 .4rem;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem}
.cards div{background:#fff;border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem}
.cards b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}
.cards span{color:var(--soft);font-size:.8rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.84rem}
td,th{padding:.28rem .5rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}
td.t,th.t{text-align:left}td.w{white-space:normal;text-align:left}tbody tr:hover{background:#f2f6fb}
.bar{background:#e8eef6;border-radius:3px;width:5rem;height:.62rem;display:inline-block;vertical-align:middle}
.bar i{background:var(--accent);border-radius:3px;height:100%;display:block}
.tag{border-radius:9px;padding:.05rem .5rem;font-size:.75rem;background:#e8eef6}
.memory{background:#fdeada}.host{background:#fde2e2}
svg{width:100%;height:auto;display:block}svg text{font:10.5px system-ui,sans-serif;fill:#5d6878}
svg .l{fill:#fff;font-size:11px;pointer-events:none}
svg .e{text-anchor:end}svg .m{text-anchor:middle}svg .g{stroke:#e3e7ee}
summary{cursor:pointer;color:var(--soft)}tr.below td{padding:0 .5rem .3rem 1.6rem;text-align:left}
tr.below table{width:auto;margin:.2rem 0 .4rem}tr:has(+ tr.below) td{border-bottom:0}
.r rect{opacity:.9}.r:hover rect{opacity:1;stroke:#1d2430}.note{color:var(--soft);margin:.2rem 0 .6rem}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.6rem 0 0}
.legend{font-size:.82rem;color:var(--soft)}.legend b{color:var(--ink)}
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem}
"""
Cells = Sequence[str]


def report_page(
    found: Program | Package,
    name: str,
    losses: Sequence[LayerLoss] = (),
    costs: Sequence[PartitionCost] = (),
    accuracy: Mapping[str, Sequence[NodeAccuracy]] = MappingProxyType({}),
) -> str:
    """The page as HTML text; what was measured as well: `losses` is the sensitivity of the layers, `costs` those of
    partitions, `accuracy` that of nodes, by entry point of several graphs, else by ''.
    """
    near = {name: {a.name: a for a in nodes} for name, nodes in accuracy.items()}
    if isinstance(found, Package):
        costs = costs or partition_costs(found)
        body = _parts(costs)
        for number, part in enumerate(found.partitions):
            if isinstance(part, Program):
                body += f"<header><h1>Partition {number}</h1><p>on the device</p></header>"
                body += _program(part, near.get("", {}))
        text = f"{len(found.partitions)} partitions for {escape(found.programs[0].config.name)}"
    else:
        body = _entries(found, near) if found.others else _program(found, near.get("", {}))
        text = f"{escape(found.config.name)}, {found.config.macs_per_cycle:,} MAC per cycle"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(name)}</title><style>{_STYLE}</style><main>"
        f"<header><h1>{escape(name)}</h1><p>{text}</p></header>{body}{_losses(losses)}</main></html>\n"
    )


def _entries(program: Program, near: Mapping[str, Mapping[str, NodeAccuracy]]) -> str:
    """A row for each entry point, then all about each; its links lead there."""
    head = ("entry point", "MACs", "cycles", "ms", "of peak", "takes", "of that from runs before")
    rows, body = [], ""
    for number, name in enumerate(program.entries):
        view = program.at(name)
        facts, carried = summary(view), {c.model_input: c.entry or name for c in view.carried}
        taken = ", ".join(escape(v.name) for v in view.model_inputs)
        state = ", ".join(f"{escape(value)} of {escape(maker)}" for value, maker in carried.items())
        numbers = (f"{facts['macs']:,}", f"{facts['cycles']:,}", f"{facts['milliseconds']:.3f}")
        share = f"{100 * facts['utilization']:.1f} %"
        rows.append((f"<a href='#entry{number}'>{escape(name)}</a>", *numbers, share, taken, state))
        title = f"<header id=entry{number}><h1>{escape(name)}</h1><p>entry point</p></header>"
        body += title + _program(view, near.get(name, {}))
    return _section("Entry points", _table(head, rows, left=(0, 5, 6))) + body


def _program(program: Program, near: Mapping[str, NodeAccuracy]) -> str:
    facts, rows = summary(program), layer_rows(program)
    act = [m for m in program.memory_map if m.space == "act"]
    data = [m for m in program.memory_map if m.space == "data"]
    hw = program.config
    return (
        _cards(program, facts, rows)
        + _section("Layers", _layers(program, facts, rows, near))
        + _tasks(program)
        + _wide(program)
        + _section("Activation scratchpad", scratchpad_map(act, hw.act_words, hw.act_word_bytes))
        + _section(
            "HBM",
            f"<h3>Data space, {facts['data_bytes']:,} bytes</h3>{space_map(data, LINE_BYTES)}"
            f"<h3>Weight space, {facts['weight_bytes']:,} bytes</h3>"
            f"{space_map(weight_regions(program), hw.weight_word_bytes)}",
        )
        + _section("Inputs and outputs", _tensors(facts))
    )


def _tasks(program: Program) -> str:
    """A row for each task, where there are some."""
    costs = task_costs(program)
    return _section("Tasks", _table(HEAD, [(escape(c.task), *c.cells[1:]) for c in costs])) if costs else ""


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(
    head: Cells, rows: Iterable[Cells], left: Sequence[int] = (0,), wide: int = -1, below: Sequence[str] = ()
) -> str:
    """Cells are HTML; columns in `left` are text, column `wide` may break its lines; `below` stands below each row."""

    def row(cells: Cells, tag: str) -> str:
        sides = ["w" if i == wide and tag == "td" else "t" if i in left else "" for i in range(len(cells))]
        kinds = [f" class={side}" if side else "" for side in sides]
        return "<tr>" + "".join(f"<{tag}{k}>{c}" for k, c in zip(kinds, cells, strict=True))

    under = [f"<tr class=below><td colspan={len(head)}>{text}" if text else "" for text in below]
    body = "".join(row(r, "td") + text for r, text in zip_longest(rows, under, fillvalue=""))
    return f"<table><thead>{row(head, 'th')}<tbody>{body}</table>"


def _cards(program: Program, facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    cards = (
        (f"{facts['milliseconds']:.3f} ms", f"estimated at {program.config.clock_mhz} MHz"),
        (f"{facts['cycles']:,}", "estimated cycles"),
        (f"{100 * facts['utilization']:.1f} %", f"of {program.config.macs_per_cycle:,} MAC per cycle"),
        (f"{facts['macs'] / 1e6:,.2f} M", "multiply-accumulates"),
        (f"{facts['packets']:,}", "instructions"),
        (f"{facts['weight_bytes']:,}", "bytes of weights"),
        (f"{sum(r['read_bytes'] + r['write_bytes'] for r in rows):,}", "bytes of data on and off chip"),
    )
    return "<div class=cards>" + "".join(f"<div><b>{a}</b><span>{b}</span></div>" for a, b in cards) + "</div>"


def _layers(
    program: Program, facts: dict[str, Any], rows: list[dict[str, Any]], near: Mapping[str, NodeAccuracy]
) -> str:
    peak, total = program.config.macs_per_cycle, max(facts["cycles"], 1)
    longest = max((r["busy"] for r in rows), default=1)
    made = parts(program)
    below = [_details(made.get(r["node"], [])) for r in rows]
    cells = []
    for r, text in zip(rows, below, strict=True):
        busy = max(r["busy"], 1)
        bar = f"<span class=bar><i style='width:{100 * busy / max(longest, 1):.1f}%'></i></span>"
        cells.append(
            (
                escape(r["node"]),
                escape(r.get("kind", r["op"]) if text else r["op"]),
                "x".join(map(str, r.get("shape", []))),
                r.get("type", ""),
                f"{r['scale']:.4g}" if "scale" in r else "",
                str(r.get("zero_point", "")),
                *(f"{r[k]:,}" for k in ("macs", "weight_bytes", "read_bytes", "write_bytes")),
                f"{busy:,}",
                f"{100 * r['macs'] / (busy * peak):.0f} %",
                f"<span class='tag {r['bound']}'>{r['bound']}</span>",
                f"{bar} {100 * busy / total:.0f} %",
                *(_nearness(near.get(r.get("label", ""))) if near else ()),
            )
        )
    head = (
        "node",
        "op",
        "output",
        "type",
        "scale",
        "zero",
        "MACs",
        "weights",
        "data in",
        "data out",
        "cycles",
        "of peak",
    )
    head = (*head, "bound", "busy", *(("SNR to float", "equal") if near else ()))
    note = "Bytes move between HBM and the chip for this layer; layers overlap in time."
    measured = " Equal are values that ONNX Runtime computes of the same integers." if near else ""
    return f"<p class=note>{note}{measured}</p>" + _table(head, cells, left=(0, 1, 2, 3, 12, 13), below=below)


def _nearness(found: NodeAccuracy | None) -> Cells:
    if found is None:
        return "", ""
    return "" if found.snr is None else f"{found.snr:.1f} dB", f"{100 * found.equal:.2f} %"


def _details(found: Sequence[Part]) -> str:
    """What a node of several kinds of instructions is made of, to be opened."""
    if len({p.name for p in found if p.queue in ("mac", "vec")}) < 2:
        return ""
    count = sum(p.packets for p in found)
    rows = [(p.name, p.op, f"{p.packets:,}", f"{p.cycles:,}", f"{p.macs:,}") for p in found]
    table = _table(("part", "instruction", "how many", "cycles", "MACs"), rows, left=(0, 1))
    return f"<details><summary>{count:,} instructions of {len(found)} kinds</summary>{table}</details>"


def _wide(program: Program) -> str:
    """Which tensors are int16 and why."""
    rows = [
        (
            escape(t.name),
            escape(t.node),
            "x".join(map(str, t.shape)) + (f", {t.heads} heads" if t.heads > 1 else ""),
            escape(t.why),
        )
        for t in wide_tensors(program)
    ]
    if not rows:
        return ""
    note = "<p class=note>All other tensors are int8.</p>"
    table = _table(("tensor", "node", "shape", "why"), rows, left=(0, 1, 2, 3))
    return _section("int16", f"{note}<details><summary>{len(rows)} tensors</summary>{table}</details>")


def _parts(costs: Sequence[PartitionCost]) -> str:
    rows = []
    for c in costs:
        cycles = f"{c.cycles:,}" if c.kind == "device" else ""
        kind = f"<span class='tag {c.kind}'>{c.kind}</span>"
        moved = f"{c.bytes_in:,}", f"{c.bytes_out:,}"
        ms = "" if c.milliseconds is None else f"{c.milliseconds:.3f}"
        rows.append((str(c.number), kind, str(c.layers), *moved, cycles, ms))
    table = _table(("partition", "runs on", "nodes", "bytes in", "bytes out", "cycles", "ms"), rows, left=(0, 1))
    note = "Device time is estimated, host time was measured where the page was made."
    note = f"<p class=note>{escape(total_text(costs))}. {note}</p>"
    reasons = _table(("why on the host",), [(escape(text),) for text in grouped(refused_nodes(costs))], wide=0)
    return _section("Parts", table + note) + _section("On the host", reasons)


def _tensors(facts: dict[str, Any]) -> str:
    rows = [
        (
            escape(t["name"]),
            kind[:-1],
            "x".join(map(str, t["shape"])),
            f"{t['scale']:.6g}",
            str(t["zero_point"]),
            escape(", ".join(t["host"])) or "-",
        )
        for kind in ("inputs", "outputs")
        for t in facts[kind]
    ]
    head = ("name", "kind", "shape", "scale", "zero point", "on the host")
    return _table(head, rows, left=(0, 1, 2, 5))


def _losses(losses: Sequence[LayerLoss]) -> str:
    if not losses:
        return ""
    rows = [(escape(r.node), escape(r.op), f"{r.snr:.1f} dB") for r in losses]
    note = "<p class=note>Signal-to-noise ratio of the outputs with only this layer quantized; the worst first.</p>"
    return _section("Sensitivity", note + _table(("layer", "op", "SNR"), rows, left=(0, 1)))
