"""Keys and values of earlier runs in front of the new ones: `past_key`, `past_value` of an Attention node.

matches: Concat(past, new) over the sequence, of keys and of values, in the layout [batch, heads, sequence, channels].
The Concats' results, where both are outputs of the model, become `present_key`, `present_value`.
Where the earlier ones are made by the model itself (a prefix, read by the steps of a sampler), the parts are joined as
rows with their heads side by side, as layers make them.
Not matched: caches in other layouts, which stay a Concat in front. What else reads a Concat keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import made_by
from vlac.rewrite.sequence.views import Atom, View, view_of

__all__ = ["Past", "joined_rows", "past_of"]


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


def joined_rows(new: Nodes, view: View) -> View:
    """Keys or values [batch, heads, sequence, channels] that a Concat joined, as a view of joined rows; else `view`."""
    if not _is_joined(view):
        return view
    parts = [v.transpose((0, 2, 1, 3)) for v in map(view_of, _joined(view.root))]
    packed = [v.reshape((*v.shape[:2], v.shape[2] * v.shape[3])) for v in parts]
    batch, total, heads, channels = (view.shape[0], view.shape[2], parts[0].shape[2], view.shape[3])
    rows = [None if v is None else emit(new, v) for v in packed]
    if any(row is None for row in rows):
        return view
    y = new.add("Concat", rows, (batch, total, heads * channels), {"axis": 1})
    split = View.whole(y).reshape((batch, total, heads, channels))
    assert split is not None
    b, own, t, c = split.transpose((0, 2, 1, 3)).axes
    return View(y, 0, (b, (*own, *_repeated(view)), t, c))


def _joined(value: ir.Value) -> list[ir.Value]:
    """What Concats over the sequence, one behind another, join."""
    node = made_by(value, "Concat")
    if node is None or attribute(node, "axis", 0) % 4 != 2:
        return [value]
    return [part for v in node.inputs if v is not None for part in _joined(v)]


def _is_joined(view: View) -> bool:
    """Whether it is what a Concat over the sequence makes, with heads repeated at most."""
    node, whole = made_by(view.root, "Concat"), View.whole(view.root)
    if node is None or len(whole.axes) != 4 or attribute(node, "axis", 0) % 4 != 2:
        return False
    heads = tuple(a for a in view.axes[1] if a[1])
    return (view.axes[0], heads, *view.axes[2:]) == whole.axes


def _repeated(view: View) -> tuple[Atom, ...]:
    return tuple(a for a in view.axes[1] if not a[1])


def _parts(view: View) -> tuple[ir.Value, View] | None:
    """The earlier part and a view of the new one, with heads repeated as in `view`."""
    if not _is_joined(view):
        return None
    node = made_by(view.root, "Concat")
    if node is None or len(node.inputs) != 2:
        return None
    past, fresh = node.inputs
    if past is None or fresh is None or not past.is_graph_input():
        return None
    below = view_of(fresh)
    return past, View(below.root, below.offset, (below.axes[0], (*below.axes[1], *_repeated(view)), *below.axes[2:]))
