"""Semaphores between queues: more pairs of queues than there are semaphores go over a third one."""

import numpy as np
import pytest
from graphs import GraphBuilder
from hypothesis import given
from hypothesis import strategies as st

import vlarun
from vla_isa import hardware
from vla_isa.encoding import make_packet
from vla_isa.errors import HazardError
from vla_isa.footprint import footprint
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES, Move
from vlac import CompileOptions, compile_file
from vlac.emit.semaphores import assign_semaphores

TINY = hardware.load("tiny")
WORDS = 6
QUEUES = ["load", "store", "wload", "mac", "vec"]


def packet(queue, source, target):
    """A packet of a queue that reads one word of a memory and writes another."""
    copy = {"n0": 1, "n1": 1, "n2": 1, "n3": 1, "src": source, "dst": target}
    if queue == "load":
        return make_packet("COPY", move=Move.ACT_TO_ACT, **copy)
    if queue == "store":
        return make_packet("COPY", move=Move.ACT_TO_DATA, **copy)
    if queue == "wload":
        return make_packet("COPY", move=Move.ACT_TO_WEIGHT, **copy)
    if queue == "mac":
        sizes = {"batch": 1, "h": 1, "m": 1, "k_blocks": 1, "n_blocks": 1}
        return make_packet("GEMM", in_base=source, out_base=target, weight_base=source, **sizes)
    return make_packet("RECIP", in_base=source, out_base=target, n=1, mult=1 << 23)


def in_order(ordered):
    """Whether semaphores and queues alone order every pair of conflicting packets: a replay of all tokens."""
    tokens = {bit: [] for bit in range(SEMAPHORES)}  # of each semaphore, the packets that gave one
    taken = dict.fromkeys(tokens, 0)
    before, last = [], {}  # packets that are complete when each starts; the latest of each queue
    for number, o in enumerate(ordered):
        known = set()
        if o.packet.queue in last:
            known |= {last[o.packet.queue], *before[last[o.packet.queue]]}
        for bit, givers in tokens.items():
            if o.packet["wait"] >> bit & 1:
                giver = givers[taken[bit]]
                taken[bit] += 1
                known |= {giver, *before[giver]}
            if o.packet["signal"] >> bit & 1:
                givers.append(number)
        before.append(known)
        last[o.packet.queue] = number
    touched = [words_of(o.packet) for o in ordered]
    pairs = ((i, j) for j in range(len(ordered)) for i in range(j))
    unordered = [(i, j) for i, j in pairs if conflict(touched[i], touched[j]) and i not in before[j]]
    return not unordered and all(taken[bit] == len(givers) for bit, givers in tokens.items())


def words_of(p):
    found = {True: set(), False: set()}
    for a in footprint(p, TINY):
        found[a.write] |= {(a.space, w) for low, high in a.words for w in range(low, high)}
    return found


def conflict(a, b):
    return bool(a[True] & (b[True] | b[False]) or a[False] & b[True])


@given(st.lists(st.builds(packet, st.sampled_from(QUEUES), *2 * [st.integers(0, WORDS)]), max_size=60))
def test_conflicting_packets_are_in_order(packets):
    assert in_order(assign_semaphores(packets, TINY))


def test_more_pairs_than_semaphores():
    rng = np.random.default_rng(0)
    packets = [packet(q, *map(int, rng.integers(0, WORDS, 2))) for q in rng.choice(QUEUES, 400)]
    ordered = assign_semaphores(packets, TINY)
    assert in_order(ordered)
    relays = [o for o in ordered if o.relays]
    assert relays and all(o.packet["n0"] == 0 for o in relays)
    assert [o.given for o in ordered if not o.relays] == list(range(len(packets)))


def test_no_queue_to_go_over(monkeypatch):
    monkeypatch.setattr("vlac.emit.semaphores.SEMAPHORES", 1)
    packets = [packet("load", 0, 1), packet("vec", 1, 2), packet("store", 2, 0), packet("mac", 2, 1)]
    with pytest.raises(HazardError, match="more than the 1 semaphores, and for only 0 of them"):
        assign_semaphores(packets, TINY)


def most_signals(ordered):
    """The most that a semaphore may count, where each queue runs as far ahead as waits let it."""
    before, last, most = [], {}, 0
    tokens = {bit: [] for bit in range(SEMAPHORES)}
    waits = {bit: [] for bit in range(SEMAPHORES)}
    for number, o in enumerate(ordered):
        known = {number}
        if o.packet.queue in last:
            known |= before[last[o.packet.queue]]
        for bit, givers in tokens.items():
            if o.packet["wait"] >> bit & 1:
                known |= before[givers[len(waits[bit])]]
                waits[bit].append(number)
            if o.packet["signal"] >> bit & 1:
                givers.append(number)
                most = max(most, len(givers) - len(known & set(waits[bit])))
        before.append(known)
        last[o.packet.queue] = number
    return most


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_queue_that_waits_for_nothing_is_held(ahead, monkeypatch):
    """Weights that never take each other's place are loaded as fast as they come."""
    monkeypatch.setattr("vlac.emit.semaphores.LARGEST_COUNT", 8)
    weights = [make_packet("COPY", move=Move.ACT_TO_WEIGHT, n0=1, n1=1, n2=1, n3=1, src=0, dst=n) for n in range(40)]
    sizes = {"batch": 1, "h": 1, "m": 1, "k_blocks": 1, "n_blocks": 1}
    products = [make_packet("GEMM", in_base=1, out_base=2 + n, weight_base=n, **sizes) for n in range(40)]
    packets = weights[:ahead]
    for number, product in enumerate(products):
        packets += [product, *weights[number + ahead : number + ahead + 1]]
    ordered = assign_semaphores(packets, TINY)
    assert in_order(ordered)
    assert 4 < most_signals(ordered) <= 8


@pytest.mark.parametrize("first", [0, LARGEST_COUNT])
def test_more_small_layers_than_a_semaphore_counts(first):
    """Loads wait where the array has read them; behind much work without weights they do not all run ahead."""
    g, rng, order = GraphBuilder("small layers"), np.random.default_rng(0), np.arange(16)
    x, y = g.input("x", (1, 16)), g.input("y", (1, 16))
    for _ in range(1 + first):
        x = g.node("Max", [x, y], 16)
    for _ in range(2 * LARGEST_COUNT):
        mixed = rng.permutation(16)
        x, order = g.node("Gemm", [x, g.constant(np.eye(16, dtype=np.float32)[:, mixed])], 16), order[mixed]
    samples = [{name: rng.uniform(-1, 1, (1, 16)).astype(np.float32) for name in "xy"} for _ in range(4)]
    program = compile_file(g.model(x), hardware.load("u50"), CompileOptions(calibration=samples)).program
    (found,) = vlarun.Session(program).run(samples[0]).values()
    assert np.allclose(found, np.maximum(*samples[0].values())[:, order], atol=0.02)
