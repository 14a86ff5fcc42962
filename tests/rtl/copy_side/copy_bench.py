"""Build and run the bench of the engines that move (copy_side.v, bench.cpp); compare its memories with the simulator's.

Not here: which packets are run (the tests of vla_data_loader, vla_weight_loader and vla_store_engine).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench import build_bench, run_bench
from numpy.typing import NDArray

from vla_isa.encoding import encode, illegal
from vla_isa.errors import IndexRangeError
from vla_isa.hardware import HardwareConfig
from vla_isa.packet import Packet
from vlarun.execute import copy, gather
from vlarun.memory import Machine

HERE = Path(__file__).parent
QUEUES = ("wload", "load", "store")  # of the bench
NOISE_WORDS = 16  # the last words of the activation memory, written by the noise lanes


@dataclass(frozen=True)
class Result:
    """What a run did.

    Attributes:
        cycles: of the run.
        failed, outside: by queue the packets that met an AXI error, and those that met a wrong item.
        accepted, done: by queue, cycles of acceptance and end.
        memories: what they hold at the end.
    """

    cycles: int
    failed: dict[str, list[int]]
    outside: dict[str, list[int]]
    accepted: dict[str, NDArray[np.uint64]]
    done: dict[str, NDArray[np.uint64]]
    memories: dict[str, NDArray[np.uint8]]


def build(hw: HardwareConfig) -> Path:
    """The bench for the sizes of a config."""
    return build_bench(
        "copy_side",
        (HERE / "copy_side.v", HERE / "bench.cpp"),
        ("-Wno-UNUSEDSIGNAL",),
        Block=hw.block,
        ActWords=hw.act_words,
        WeightWords=hw.weight_words,
        ParamWords=hw.param_words,
        WeightMasters=hw.weight_masters,
        InMasters=hw.in_masters,
        OutMasters=hw.out_masters,
    )


def make_machine(
    hw: HardwareConfig, rng: np.random.Generator, *, data_lines: int = 4096, weight_words: int = 4096
) -> Machine:
    """A machine whose data space, weight space and activation memory hold random bytes."""
    machine = Machine(
        hw,
        rng.integers(-128, 128, data_lines * 64, np.int8),
        rng.integers(-128, 128, (weight_words, hw.weight_word_bytes), np.int8),
    )
    machine.act[:] = rng.integers(-128, 128, machine.act.shape, np.int8)
    return machine


def run(
    machine: Machine,
    packets: list[Packet],
    folder: Path,
    *,
    latency: int = 64,
    outstanding: int = 8,
    stall: int = 0,
    noise: int = 0,
    seed: int = 1,
    limit: int = 400_000,
) -> Result:
    """Run packets from a machine's memories, which are left as they are; each queue takes its own in order.

    Args:
        machine: contents of the data space, the weight space and the activation memory; the weight and
            parameter memories start as zero.
        packets: legal COPY and GATHER packets.
        folder: where the job and the result go.
        latency, outstanding: of the reference memory.
        stall: of 256, chance that a memory port stalls in a cycle.
        noise: of 256, chance that another lane of an on-chip memory asks in a cycle.
        seed: of both.
        limit: cycles after which the run fails.
    """
    hw = machine.hw
    for packet in packets:
        code, why = illegal(encode(packet), hw)
        assert code == 0, why
    queues = [[p for p in packets if p.queue == q] for q in QUEUES]
    head = np.array(
        [
            hw.act_words,
            hw.weight_words,
            hw.param_words,
            machine.data.size,
            machine.weight_space.size,
            *map(len, queues),
            latency,
            outstanding,
            stall,
            noise,
            seed,
            limit,
        ],
        "<u8",
    )
    memories = (machine.act, machine.data, machine.weight_space)
    job = b"".join([head.tobytes(), *(m.tobytes() for m in memories), *(encode(p) for q in queues for p in q)])
    data, _ = run_bench(build(hw), job, folder)
    return _read(machine, data, [len(q) for q in queues])


def _read(machine: Machine, data: bytes, counts: list[int]) -> Result:
    """The result file: cycles, (accepted, done, failed) per packet, then the memories."""
    cycles = int(np.frombuffer(data, "<u8", 1)[0])
    at = 8
    accepted, ended, failed, outside = {}, {}, {}, {}
    for queue, count in zip(QUEUES, counts, strict=True):
        records = np.frombuffer(data, "<u8", 3 * count, at).reshape(count, 3)
        accepted[queue], ended[queue] = records[:, 0], records[:, 1]
        failed[queue] = np.flatnonzero(records[:, 2] & 1).tolist()
        outside[queue] = np.flatnonzero(records[:, 2] & 2).tolist()
        at += records.nbytes
    memories = {}
    for name in ("act", "data", "weight", "param"):
        memory = getattr(machine, name)
        memories[name] = np.frombuffer(data, np.uint8, memory.size, at).reshape(memory.shape)
        at += memory.size
    assert at == len(data)
    return Result(cycles, failed, outside, accepted, ended, memories)


def check(machine: Machine, packets: list[Packet], result: Result) -> None:
    """Execute the packets on the machine in order and compare every memory; changes the machine.

    Raises:
        AssertionError: naming the memory that differs and its first few words.
    """
    for packet in packets:
        with contextlib.suppress(IndexRangeError):  # nothing moves
            (gather if packet.name == "GATHER" else copy).execute(packet, machine)
    for name, found in result.memories.items():
        want = getattr(machine, name).view(np.uint8)
        if name == "act":
            found, want = found[:-NOISE_WORDS], want[:-NOISE_WORDS]
        if name == "data":
            found, want = found.reshape(-1, 64), want.reshape(-1, 64)
        bad = np.flatnonzero((found != want).any(axis=1))
        text = "; ".join(f"word {w}: {found[w].tolist()} instead of {want[w].tolist()}" for w in bad[:2])
        assert bad.size == 0, f"{bad.size} words of the {name} memory differ: {text}"
