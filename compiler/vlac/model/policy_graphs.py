"""What the exported graphs of one policy say in their metadata: their names, what is handed on, whose they are.

`vlac.graph` is a graph's name, `vlac.carries` a JSON table from its outputs to `graph.input`, of another graph or of
its own next run; `vlac.policy` is a digest of the policy's weights, which a program keeps in its manifest.
Not here: state of one graph (`carried.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx

from vlac.errors import ModelError

__all__ = ["CARRIES", "GRAPH", "read_said", "said_carries", "said_policy"]

GRAPH, CARRIES, _POLICY = "vlac.graph", "vlac.carries", "vlac.policy"  # keys of a model's metadata
_LONGEST = 64  # characters of a policy's digest


def read_said(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file; none of one that cannot be read: compiling it says why."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # protobuf's errors have no common base
        return {}
    return {prop.key: prop.value for prop in model.metadata_props}


def said_policy(model: onnx.ModelProto) -> str:
    """The digest of the policy that a model is of; empty where it says none."""
    return next((prop.value for prop in model.metadata_props if prop.key == _POLICY), "")[:_LONGEST]


def said_carries(graphs: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Pairs (ENTRY:INPUT, ENTRY:OUTPUT) for `compile_graphs`, of all graphs by entry point.

    Raises:
        ModelError: the metadata is no table of names, names a graph that is not there, or two graphs have one name.
    """
    entries: dict[str, str] = {}
    for entry, said in graphs.items():
        if GRAPH in said and (first := entries.setdefault(said[GRAPH], entry)) != entry:
            raise ModelError(
                f"graphs '{first}' and '{entry}' both say by their metadata '{GRAPH}' that they are '{said[GRAPH]}'; "
                "give one of them, or say what is carried with --carry"
            )
    found = []
    for entry, said in graphs.items():
        for output, target in _table(entry, said.get(CARRIES, "{}")).items():
            graph, dot, name = target.partition(".")
            if not dot or graph not in entries:
                raise ModelError(
                    f"graph '{entry}': metadata '{CARRIES}' hands '{output}' to '{target}'; that must be GRAPH.INPUT, "
                    f"and the graphs given are {', '.join(entries) or 'without names'}."
                )
            found.append((f"{entries[graph]}:{name}", f"{entry}:{output}"))
    return found


def _table(entry: str, text: str) -> dict[str, str]:
    try:
        table = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"graph '{entry}': metadata '{CARRIES}' is no JSON: {error}.") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ModelError(f"graph '{entry}': metadata '{CARRIES}' must be a table from outputs to GRAPH.INPUT.")
    return table


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A table of JSON, which names each output once: of two values the last one would stay in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
