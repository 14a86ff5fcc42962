"""Random networks over every operator of `vlac.ops`, legal by the operators' rules.

What is random comes from a `random.Random`: a seeded one for networks that have a number (`numbered`), or hypothesis's
(`networks`), whose draws it shrinks when a test fails. Not here: networks of a known design (`benchmarks/graphs`).
"""

from __future__ import annotations

import random

import onnx
from hypothesis import strategies as st
from random_network import Network
from random_operators import OPERATORS


def network(rng: random.Random) -> onnx.ModelProto:
    """A network of 4 to 12 operators, each drawn with the few that it needs."""
    n = Network(rng)
    n.step(OPERATORS["Conv"])
    names = [*OPERATORS, *["Conv"] * 8]
    for _ in range(n.some(4, 12)):
        n.step(OPERATORS[n.pick(*names)])
    if not n.g.nodes:  # every step was undone
        n.step(OPERATORS["Relu"])
    return n.model()


def numbered(seed: int) -> onnx.ModelProto:
    """The network of a seed, always the same."""
    return network(random.Random(seed))


def networks() -> st.SearchStrategy[onnx.ModelProto]:
    """Any network, for hypothesis."""
    return st.randoms(use_true_random=False).map(network)
