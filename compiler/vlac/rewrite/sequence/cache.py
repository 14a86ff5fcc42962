"""Keys and values of earlier runs in front of the new ones: `past_key`, `past_value` of an Attention node.

matches: Concat(past, new) over the sequence, of keys and of values, in the layout [batch, heads, sequence, channels].
The Concats' results, where both are outputs of the model, become `present_key`, `present_value`.
Not matched: caches in other layouts, which stay a Concat in front. What else reads a Concat keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.sequence.match import made_by
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["Past", "past_of"]


@dataclass(frozen=True)
class Past:
    """Views of the new keys and values, the values of earlier runs, and the Concats that joined them."""

    k: View
    v: View
    values: tuple[ir.Value, ir.Value]
    joined: tuple[ir.Value, ir.Value]

    @property
    def returned(self) -> bool:
        """Whether the model returns both."""
        return all(v.is_graph_output() for v in self.joined)

    def replace(self, present: list[ir.Value]) -> None:
        """Let outputs of the model be the Attention node's."""
        for old, new in zip(self.joined, present, strict=True):
            name = old.name
            old.name = f"{name}.joined"
            new.name = name
            graph = old.graph
            assert isinstance(graph, ir.Graph)
            graph.outputs[:] = [new if v is old else v for v in graph.outputs]


def past_of(k: View, v: View) -> Past | None:
    """What is in front of keys and values [batch, heads, sequence, channels] where both are such Concats."""
    found = [_parts(x) for x in (k, v)]
    if found[0] is None or found[1] is None:
        return None
    (old_k, new_k), (old_v, new_v) = found[0], found[1]
    if shape_of(old_k)[:3] != shape_of(old_v)[:3]:
        return None
    return Past(new_k, new_v, (old_k, old_v), (k.root, v.root))


def _parts(view: View) -> tuple[ir.Value, View] | None:
    """The earlier part and a view of the new one, with heads repeated as in `view`."""
    root = view.root
    node = made_by(root, "Concat")
    whole = View.whole(root)
    if node is None or len(node.inputs) != 2 or len(whole.axes) != 4 or attribute(node, "axis", 0) % 4 != 2:
        return None
    past, fresh = node.inputs
    heads = tuple(a for a in view.axes[1] if a[1])
    if (view.axes[0], heads, *view.axes[2:]) != whole.axes or past is None or fresh is None:
        return None
    if not past.is_graph_input():
        return None
    below = view_of(fresh)
    repeated = tuple(a for a in view.axes[1] if not a[1])
    return past, View(below.root, below.offset, (below.axes[0], (*below.axes[1], *repeated), *below.axes[2:]))
