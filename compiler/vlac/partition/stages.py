"""Where each node runs: stages that alternate between device (even) and host (odd).

A node's stage is at least that of what it reads, one more where the side changes; then it is moved as late as its
readers allow. All nodes of a stage are one segment, so the number of segments is the depth of changes and nothing
waits in a circle.

What only moves, adds or maps values beside a host partition costs more to hand over than to compute, and rounds again:
`with_neighbours` lets it run on the host. Not here: the models of the segments (`cut.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx_ir as ir

from vlac.import_onnx.flow import Flow

__all__ = ["stages", "with_neighbours"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BESIDE = "it has no multiplication of matrices and lies beside nodes of the host: it would cost more to hand over"


def stages(flow: Flow, host: Collection[str]) -> dict[ir.Node, int]:
    """Node -> stage; nodes named in `host` get odd ones."""
    stage: dict[ir.Node, int] = {}
    readers: dict[ir.Node, list[ir.Node]] = {n: [] for n in flow.compute}
    for node in flow.compute:
        least = side = int(node.name in host)
        for value in flow.reads(node):
            before = flow.source(value)
            if before is not None:
                readers[before].append(node)
                least = max(least, stage[before] + (stage[before] % 2 != side))
        stage[node] = least
    last = max(stage.values(), default=0)
    for node in reversed(flow.compute):
        side = stage[node] % 2
        limits = [stage[r] - (stage[r] % 2 != side) for r in readers[node]]
        stage[node] = min(limits, default=last - (last % 2 != side))
    return stage


def with_neighbours(flow: Flow, host: Mapping[str, str]) -> dict[str, str]:
    """`host` (name -> reason) and the groups of device nodes without any layer that read from or feed the host.

    Where no group has a layer, nothing is added: the device keeps what it can do.
    """
    found = dict(host)
    while True:
        groups = _groups(flow, found)
        cheap = [g for g in groups if not any(n.op_type in _LAYERS for n in g) and _touches(flow, g, found)]
        if not cheap or not any(n.op_type in _LAYERS for g in groups for n in g):
            return found
        found |= {str(n.name): _BESIDE for g in cheap for n in g}


def _groups(flow: Flow, host: Collection[str]) -> list[set[ir.Node]]:
    """Device nodes that hang together within a stage."""
    stage = stages(flow, host)
    group: dict[ir.Node, set[ir.Node]] = {}
    for node in (n for n in flow.compute if stage[n] % 2 == 0):
        joined = {node}
        for value in flow.reads(node):
            before = flow.source(value)
            if before is not None and stage[before] == stage[node]:
                joined |= group[before]
        group |= dict.fromkeys(joined, joined)
    return list({id(g): g for g in group.values()}.values())


def _touches(flow: Flow, group: set[ir.Node], host: Collection[str]) -> bool:
    sources = (flow.source(v) for n in group for v in flow.reads(n))
    if any(s is not None and s.name in host for s in sources):
        return True
    return any(flow.source(v) in group for n in flow.compute if n.name in host for v in flow.reads(n))
