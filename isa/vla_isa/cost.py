"""What a packet costs its engine, and every constant of the machine and of the reference memory.

The figures of the machine are measured on the Verilog machine (tests/runtime/test_timing_rtl.py compares);
those of the memory are the reference memory's.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REFERENCE", "Cost", "Timing"]


@dataclass(frozen=True)
class Timing:
    """Constants of the machine and of the reference memory, in cycles unless said otherwise."""

    read_latency: int = 64  # from address to first beat
    write_latency: int = 64  # from last beat to response
    bursts_in_flight: int = 8  # per master
    burst_lines: int = 16  # data-space lines of the longest burst of a LOAD or STORE
    burst_weight_beats: int = 128  # beats of the longest burst of a weight master
    burst_weight_words: int = 64  # and the weight words that it covers at most
    start: int = 4  # from the start bit to the first read
    prefetch_packets: int = 32  # fetched ahead of dispatch
    prefetch_group: int = 8  # packets that fetch reads at once
    dispatch: int = 2  # between packets that leave fetch at first; a packet is two beats
    semaphore: int = 1  # from a signal, or from dispatch, to the packet that takes its semaphores
    copy_setup: int = 9  # of a COPY: from its semaphores to its first address, and from its last beat to done
    local_setup: int = 16  # of a COPY inside the scratchpad
    empty_copy: int = 3  # a COPY that moves nothing
    mac_setup: int = 5  # constants of a MAC packet, besides one cycle per pixel of a strip
    mac_overhead: int = 26  # first operands to first write, and the start of the next packet
    mac_residual: int = 9  # of the residual add
    mac_maxima: int = 5  # of the last strip's row maxima
    mac_table: int = 10  # steps of the first strip that hide the reading of a table
    vec_setup: int = 5  # constants of a VEC or POOL packet
    vec_overhead: int = 20  # a VEC packet besides its words
    vec_table: int = 24  # reading a 256-byte table
    row_overhead: int = 34  # a ROW packet besides its steps
    row_table: int = 6  # of a table's rows and words, read before the first operands are there
    reduce_overhead: int = 15  # a REDUCE packet besides its steps
    reduce_pass: int = 7  # between two passes of topk_mask
    reduce_items: int = 8  # a ROW packet's sums behind its results
    recip_overhead: int = 27  # a RECIP packet besides its items
    pool_overhead: int = 30  # a POOL packet besides its windows
    gather_setup: int = 4  # of a GATHER, more than of a COPY: its first row
    gather_items: int = 13  # reading and checking items, besides one cycle for each
    fetch_overhead: int = 2  # JUMP, HALT, LOOP and SET
    set_item: int = 8  # reading SET's item


REFERENCE = Timing()


@dataclass(frozen=True)
class Cost:
    """What a packet takes of its engine.

    Attributes:
        cycles: the time alone on an idle machine.
        bound: what sets it: "compute", "requantize", "memory" or "latency".
        setup: the first of `cycles`, which run while the packet before it in the same queue still works.
        mac_busy, conflicts: cycles in which the array multiplies, and those lost to bank conflicts.
        read_beats, write_beats: 32-byte beats of all masters.
        path: packets of a queue on different paths (parameters and weights) work side by side.
        resource: what it shares with other queues: "banks" of the scratchpad or "master", in-master 0.
        share: the part of the resource it takes while it works, 0..1.
        yields: whether it is slowed down by what others take.
    """

    cycles: int
    bound: str
    setup: int = 0
    mac_busy: int = 0
    conflicts: int = 0
    read_beats: int = 0
    write_beats: int = 0
    path: str = ""
    resource: str = ""
    share: float = 0.0
    yields: bool = False
