"""Cut a QDQ model into device and host segments that run one after the other.

Every node that computes gets a stage: even ones run on the device, odd ones on the host, and a node's stage is at
least that of what it reads, one more where the side changes; then it is moved as late as its readers allow. All
nodes of a stage are one segment, so the number of segments is the depth of changes and nothing waits in a circle.

QuantizeLinear and DequantizeLinear belong to the device segment that computed their value, so real numbers that are
exactly the device's integers are handed on; a device segment that reads such a value starts with the same pair
again, which gives the same integers. Behind a host node or a model input they are copied to every reader.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeAlias

import onnx
from onnx import helper

from vlac.errors import ModelError

__all__ = ["Cutter", "Segment"]

_QDQ = ("QuantizeLinear", "DequantizeLinear")
Node: TypeAlias = onnx.NodeProto


@dataclass
class Segment:
    """A part of the model as a model of its own; `nodes` are the names of the nodes that compute."""

    on_host: bool
    model: onnx.ModelProto
    nodes: list[str]
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


class Cutter:
    """A QDQ model with all shapes known, ready to be cut for any choice of host nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Index the model; its nodes have names of their own."""
        self.model = model
        graph = model.graph
        self._position = {n.output[0]: i for i, n in enumerate(graph.node)}
        self._maker = {name: n for n in graph.node for name in n.output}
        self._constants = {t.name for t in graph.initializer}
        self._infos = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
        self._fixed: set[str] = set()  # outputs of nodes that read constants only
        for node in graph.node:
            if all(i in self._constants or i in self._fixed for i in node.input if i):
                self._fixed |= set(node.output)
        self.compute = [n for n in graph.node if n.op_type not in _QDQ and n.output[0] not in self._fixed]

    def source(self, value: str) -> Node | None:
        """The node that computed a value, behind any Q and DQ; None for model inputs."""
        node = self._maker.get(value)
        while node is not None and node.op_type in _QDQ:
            node = self._maker.get(node.input[0])
        return node

    def responsible(self, label: str) -> set[str]:
        """The nodes that compute and that a refusal of `label` ("conv+relu", or a Q or DQ) is about."""
        found = {n.name for n in self.compute if n.name in (label, *label.split("+"))}
        for node in self.model.graph.node:
            if node.op_type in _QDQ and label in (node.name, node.output[0]):
                source = self.source(node.output[0])
                found |= {source.name} if source is not None else set()
                found |= {r.name for r in self.compute if any(self._passes(i, node) for i in r.input)}
        return found

    def _passes(self, value: str, through: Node) -> bool:
        node = self._maker.get(value)
        while node is not None and node.op_type in _QDQ:
            if node is through:
                return True
            node = self._maker.get(node.input[0])
        return False

    def _moving(self, node: Node) -> list[str]:
        return [i for i in node.input if i and i not in self._constants and i not in self._fixed]

    # --- stages ---------------------------------------------------------------------------------------

    def _stages(self, host: Collection[str]) -> dict[str, int]:
        """Node name -> stage."""
        stage: dict[str, int] = {}
        readers: dict[str, list[str]] = {n.name: [] for n in self.compute}
        for node in self.compute:
            least = side = int(node.name in host)
            for value in self._moving(node):
                before = self.source(value)
                if before is not None:
                    readers[before.name].append(node.name)
                    least = max(least, stage[before.name] + (stage[before.name] % 2 != side))
            stage[node.name] = least
        last = max(stage.values(), default=0)
        for node in reversed(self.compute):
            side = stage[node.name] % 2
            limits = [stage[r] - (stage[r] % 2 != side) for r in readers[node.name]]
            stage[node.name] = min(limits, default=last - (last % 2 != side))
        return stage

    # --- segments -------------------------------------------------------------------------------------

    def cut(self, host: Collection[str]) -> list[Segment]:
        """Segments in the order they run.

        Raises:
            ModelError: integers of a device segment that a host node reads without DequantizeLinear.
        """
        stage = self._stages(host)
        drafts = {s: _Draft(self, bool(s % 2)) for s in sorted(set(stage.values()))}
        for node in self.compute:
            drafts[stage[node.name]].nodes[node.output[0]] = node
        for number, draft in drafts.items():
            for node in list(draft.nodes.values()):
                for index, value in enumerate(node.input):
                    if value:
                        self._feed(drafts, stage, number, node, index)
        for out in self.model.graph.output:
            source = self.source(out.name)
            number = stage[source.name] if source is not None else next(s for s in drafts if s % 2)
            drafts[number].need_chain(out.name)
            if out.name in self._maker:
                drafts[number].outputs[out.name] = None
        return [d.segment() for d in drafts.values()]

    def _feed(self, drafts: dict[int, _Draft], stage: dict[str, int], number: int, node: Node, index: int) -> None:
        """Make input `index` of a node available in its segment."""
        value, draft = node.input[index], drafts[number]
        source = self.source(value)
        home = number if source is None else stage[source.name]
        if home == number or value in self._fixed or value in self._constants or home % 2:
            draft.need_chain(value)
            if source is not None and home != number:
                raw = self._behind(value)
                draft.inputs[raw] = None
                drafts[home].outputs[raw] = None
            return
        last = self._maker[value]
        if last.op_type == "QuantizeLinear":
            raise ModelError(
                f"{node.op_type} '{node.name}' would run on the host and reads the integers '{value}' of the device; "
                "put a DequantizeLinear between them"
            )
        drafts[home].need_chain(value)
        drafts[home].outputs[value] = None
        draft.inputs[value] = None
        if not draft.on_host and last.op_type == "DequantizeLinear":
            draft.requantize(value, last)

    def _behind(self, value: str) -> str:
        """The value in front of the Q and DQ that lead to `value`."""
        node = self._maker.get(value)
        while node is not None and node.op_type in _QDQ:
            value = node.input[0]
            node = self._maker.get(value)
        return value


class _Draft:
    """A segment while its nodes are collected; nodes by their first output."""

    def __init__(self, cutter: Cutter, on_host: bool) -> None:
        self._cutter, self.on_host = cutter, on_host
        self.nodes: dict[str, Node] = {}
        self.extra: dict[str, Node] = {}  # Q, DQ and nodes of constants
        self.again: dict[str, list[Node]] = {}
        self.inputs: dict[str, None] = {}
        self.outputs: dict[str, None] = {}

    def need_chain(self, value: str) -> None:
        """Include the Q and DQ, or the nodes of constants, that lead to a value, and what they read."""
        cutter = self._cutter
        node = cutter._maker.get(value)
        if node is None:
            if value not in cutter._constants:
                self.inputs[value] = None
        elif (node.output[0] in cutter._fixed or node.op_type in _QDQ) and node.output[0] not in self.extra:
            self.extra[node.output[0]] = node
            for name in node.input:
                if name:
                    self.need_chain(name)

    def requantize(self, value: str, last: Node) -> None:
        """Read an input through QuantizeLinear and DequantizeLinear with the parameters of `last`."""
        if value in self.again:
            return
        integers, real = f"{value}/integers", f"{value}/again"
        parameters = list(last.input[1:])
        self.again[value] = [
            helper.make_node("QuantizeLinear", [value, *parameters], [integers], name=integers),
            helper.make_node("DequantizeLinear", [integers, *parameters], [real], name=real),
        ]

    def segment(self) -> Segment:
        """The finished model."""
        cutter = self._cutter
        model = onnx.ModelProto()
        model.ir_version = cutter.model.ir_version
        model.opset_import.extend(cutter.model.opset_import)
        chosen = {**self.nodes, **self.extra}
        nodes = [n for pair in self.again.values() for n in pair]
        renamed = {value: pair[1].output[0] for value, pair in self.again.items()}
        for key in sorted(chosen, key=lambda k: cutter._position[k]):
            copy = Node()
            copy.CopyFrom(chosen[key])
            for i, name in enumerate(copy.input):
                copy.input[i] = renamed.get(name, name)
            nodes.append(copy)
        used = {name for n in nodes for name in n.input}
        made = {name for n in nodes for name in n.output}
        inputs = [name for name in self.inputs if name in used and name not in made]
        model.graph.name = "host" if self.on_host else "device"
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(t for t in cutter.model.graph.initializer if t.name in used)
        model.graph.input.extend(cutter._infos[name] for name in inputs)
        model.graph.output.extend(cutter._infos[name] for name in self.outputs)
        model.graph.value_info.extend(cutter._infos[name] for name in made if name in cutter._infos)
        return Segment(self.on_host, model, [n.name for n in self.nodes.values()], inputs, list(self.outputs))
