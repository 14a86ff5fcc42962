"""One self-contained page about a program: facts, layers with cycles, and a picture of the scratchpad in time."""

from __future__ import annotations

from html import escape
from typing import Any

from vla_isa.program import Program
from vlac.report.summary import layer_rows, summary

__all__ = ["report_page"]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child,td.t{text-align:left}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}.facts td{border:0}svg{width:100%;border:1px solid #ccc}
.bar{background:#3b6ea5;height:.7rem;display:inline-block}
"""
_COLOURS = ("#3b6ea5", "#c77d3a", "#5a9367", "#a5527a", "#7a6bb0", "#8c8c3c")


def report_page(program: Program, name: str) -> str:
    """The page as HTML text."""
    facts = summary(program)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(name)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(name)}</h1>{_facts(program, facts)}<h2>Layers</h2>{_layers(program, facts)}"
        f"<h2>Activation scratchpad</h2><p>Words from bottom to top, packets from left to right.</p>"
        f"{_picture(program)}<h2>Inputs and outputs</h2>{_tensors(facts)}</html>\n"
    )


def _facts(program: Program, facts: dict[str, Any]) -> str:
    rows = (
        ("hardware config", f"{facts['config']}, {program.config.macs_per_cycle} MAC/cycle"),
        ("multiply-accumulates", f"{facts['macs']:,}"),
        ("estimated cycles", f"{facts['cycles']:,} ({facts['milliseconds']:.3f} ms at {program.config.clock_mhz} MHz)"),
        ("utilization", f"{100 * facts['utilization']:.1f} % of peak"),
        ("instructions", f"{facts['packets']}"),
        ("weights", f"{facts['weight_bytes']:,} bytes"),
        ("data space", f"{facts['data_bytes']:,} bytes, constants {facts['constant_bytes']:,}"),
    )
    return "<table class=facts>" + "".join(f"<tr><td>{k}<td class=t>{v}" for k, v in rows) + "</table>"


def _layers(program: Program, facts: dict[str, Any]) -> str:
    peak = program.config.macs_per_cycle
    out = [
        "<table><tr><th>node<th>op<th>shape<th>scale<th>packets<th>MACs<th>cycles<th>of peak<th>bound<th class=t>share"
    ]
    for r in layer_rows(program):
        busy = max(r["busy"], 1)
        shape = "x".join(map(str, r.get("shape", [])))
        out.append(
            f"<tr><td>{escape(r['node'])}<td>{r['op']}<td>{shape}<td>{r.get('scale', 0):.4g}<td>{r['packets']}"
            f"<td>{r['macs']:,}<td>{busy:,}<td>{100 * r['macs'] / (busy * peak):.0f} %<td>{r['bound']}"
            f"<td class=t><span class=bar style='width:{10 * busy / max(facts['cycles'], 1):.3f}rem'></span>"
        )
    return "".join(out) + "</table>"


def _picture(program: Program) -> str:
    entries = [m for m in program.memory_map if m.space == "act"]
    packets = max((m.last_packet for m in entries), default=0) + 1
    height, words = 320, program.config.act_words
    shapes = []
    for i, m in enumerate(entries):
        x, w = 1000 * m.first_packet / packets, 1000 * (m.last_packet - m.first_packet + 1) / packets
        h = max(height * m.size / words, 1)
        y = height - height * m.start / words - h
        shapes.append(
            f"<rect x={x:.1f} y={y:.1f} width={w:.1f} height={h:.1f} fill='{_COLOURS[i % len(_COLOURS)]}'>"
            f"<title>{escape(m.name)}: words {m.start}..{m.start + m.size - 1}</title></rect>"
        )
    return f"<svg viewBox='0 0 1000 {height}'>{''.join(shapes)}</svg>"


def _tensors(facts: dict[str, Any]) -> str:
    rows = [(kind, t) for kind in ("inputs", "outputs") for t in facts[kind]]
    body = "".join(
        f"<tr><td>{escape(t['name'])}<td>{kind[:-1]}<td>{t['shape']}<td>{t['scale']:.6g}<td>{t['zero_point']}"
        for kind, t in rows
    )
    return f"<table><tr><th>name<th>kind<th>shape<th>scale<th>zero point{body}</table>"
