"""What a packet costs its engine, and every constant of the machine and of the reference memory.

The figures of the machine are measured on the Verilog machine (tests/runtime/test_timing_rtl.py compares);
those of the memory are the reference memory's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vla_isa.banks import Banks, Beats

__all__ = ["REFERENCE", "Cost", "Timing", "Touches"]


@dataclass(frozen=True)
class Timing:
    """Constants of the machine and of the reference memory, in cycles unless said otherwise."""

    read_latency: int = 64  # from address to first beat
    write_latency: int = 64  # from last beat to response
    bursts_in_flight: int = 8  # per master
    burst_lines: int = 16  # data-space lines of the longest burst of a LOAD or STORE
    burst_weight_beats: int = 128  # beats of the longest burst of a weight master
    burst_weight_words: int = 64  # and the weight words that it covers at most
    prefetch_packets: int = 32  # fetched ahead of dispatch
    prefetch_group: int = 8  # packets that fetch reads at once
    packet_beats: int = 2  # of the read of a packet
    index_steps: int = 4  # of a packet with an index, before it leaves
    loop_steps: int = 3  # of a LOOP
    semaphore: int = 3  # from a signal, or from the head of its queue, to the packet that takes its semaphores
    linger: int = 3  # from the last packet that is done to engines that are idle
    halt: int = 8  # from HALT's semaphores and idle engines to the end
    load_setup: int = 8  # of a COPY: from its semaphores to its first address, and from its last beat to done
    store_setup: int = 12  # the same, with reading the first words
    weight_setup: int = 7  # of one to weights or parameters
    copy_cut: int = 2  # joining its runs and cutting them
    copy_next: int = 3  # from its last run, or cut, to the next packet
    mask_row: int = 2  # reading a row of its mask
    read_again: int = 1  # from a burst's last beat to the address that waits for it
    write_again: int = 6  # from a burst's answer to the address that waits for it, and the first of its words
    local_setup: int = 11  # of a COPY inside the scratchpad
    key_setup: int = 10  # of one from there to weights
    fill_setup: int = 7  # of a fill, which reads nothing
    copy_ahead: int = 8  # of a COPY's setup, behind one that moves in another way
    empty_copy: int = 3  # a COPY that moves nothing
    mac_setup: int = 4  # of a MAC packet, besides its constants
    mac_constants: int = 6  # one cycle per pixel of a strip, and not less than these
    mac_strips: int = 16  # complete strips that may wait for their results to be written
    mac_results: int = 18  # from the last operands of a strip to its first results
    mac_overhead: int = 24  # first operands to first write, and the start of the next packet
    mac_residual: int = 7  # of the residual add
    mac_table: int = 4  # from the first operands to the first result where a table is read, besides two cycles a word
    mac_wide: int = 1  # of results of int16
    vec_setup: int = 5  # constants of a VEC or POOL packet
    vec_overhead: int = 20  # a VEC packet besides its words
    vec_table: int = 11  # reading a table, besides two cycles a word
    row_setup: int = 2  # constants of a ROW, REDUCE or RECIP packet
    row_overhead: int = 39  # a ROW packet besides its steps
    row_table: int = 6  # of a table's rows and words, read before the first operands are there
    reduce_overhead: int = 16  # a REDUCE packet besides its steps
    reduce_item: int = 2  # its last item, besides the item's words
    reduce_pass: int = 7  # between two passes of topk_mask
    reduce_items: int = 8  # a ROW packet's sums behind its results
    recip_overhead: int = 30  # a RECIP packet besides its items, and the last one's words
    pool_overhead: int = 31  # a POOL packet of averages besides its windows
    pool_max_overhead: int = 25  # and one of maxima
    gather_setup: int = 4  # of a GATHER, more than of a COPY: its first row
    gather_first: int = 14  # of that, with the address, what waits for the first item
    gather_items: int = 13  # reading and checking items, besides one cycle for each
    fetch_overhead: int = 2  # JUMP, HALT, LOOP and SET
    set_item: int = 5  # reading SET's item


REFERENCE = Timing()


@dataclass(frozen=True)
class Touches:
    """What a packet reads and writes of the scratchpad while it works, from where a part of its work, 0..1, is done.

    Attributes:
        operands, results: of the MAC engine, which nothing slows down, by cycles from its first operands.
        reads: of an engine, with what it writes.
    """

    operands: Callable[[int], Banks] | None = None
    results: Callable[[int], Banks] | None = None
    reads: Callable[[float], Beats] | None = None


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
        share, burst: the part of in-master 0 that it takes while it works, 0..1; beats of its bursts, on average.
        kind: a COPY prepares only its address behind one of another kind.
        alone: its setup starts when those before it in its queue are done, as it reads a mask that they may load.
        walk: cycles from the packet, or from that start, until its engine takes another one.
        tail: the last of `cycles`, in which it shares nothing.
        touches: what it reads and writes of the scratchpad.
    """

    cycles: int
    bound: str
    setup: int = 0
    mac_busy: int = 0
    conflicts: int = 0
    read_beats: int = 0
    write_beats: int = 0
    path: str = ""
    share: float = 0.0
    burst: float = 0.0
    tail: int = 0
    kind: str = ""
    alone: bool = False
    walk: int = 0
    touches: Touches = field(default=Touches(), compare=False, repr=False)

    @property
    def work(self) -> int:
        """Cycles of what it may share."""
        return max(self.cycles - self.setup - self.tail, 0)
