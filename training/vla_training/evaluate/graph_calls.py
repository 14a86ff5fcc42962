"""A policy of several graphs: which of them run for one observation, and what one hands to the next.

Not here: where a graph runs (`runners.py`); on the device the state stays there, and the program knows what is carried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from vla_models.policy import Preprocessor
from vla_training.errors import EvaluationError

__all__ = ["Compute", "GraphRun", "calls_of", "chained"]

Arrays = Mapping[str, npt.NDArray[Any]]
Compute = Callable[[Arrays], Arrays]  # N inputs on axis 0 -> N outputs on axis 0


@dataclass(frozen=True)
class GraphRun:
    """One graph: how it is computed, what it takes, and the inputs `graph.input` that its outputs become."""

    compute: Compute
    inputs: tuple[str, ...]
    carries: Mapping[str, str]


def calls_of(preprocessor: Preprocessor) -> tuple[str, ...]:
    """The names of the graphs that run for one observation, in order; empty where a policy has one graph."""
    return tuple(getattr(preprocessor, "calls", ()))


def chained(graphs: Mapping[str, GraphRun], calls: Sequence[str]) -> Compute:
    """The graphs one after another as one network, which gives what each of them gave last.

    An input is what a call before handed to it; before there was one it is the preprocessor's.

    Raises:
        EvaluationError: a call is of no graph, or of one that takes what nothing made.
    """
    missing = [name for name in calls if name not in graphs]
    if missing:
        raise EvaluationError(f"The policy calls '{missing[0]}', and its graphs are {', '.join(graphs)}.")

    def run(inputs: Arrays) -> Arrays:
        handed: dict[str, npt.NDArray[Any]] = {}
        found: dict[str, npt.NDArray[Any]] = {}
        for name in calls:
            graph = graphs[name]
            taken = {each: handed.get(f"{name}.{each}", inputs.get(each)) for each in graph.inputs}
            absent = [each for each, value in taken.items() if value is None]
            if absent:
                raise EvaluationError(f"Graph '{name}' takes '{absent[0]}', which nothing made before its call.")
            outputs = graph.compute({each: value for each, value in taken.items() if value is not None})
            found |= outputs
            handed |= {target: outputs[output] for output, target in graph.carries.items()}
        return found

    return run
