"""Build and run the bench of the COPY engines (copy_side.v, bench.cpp); compare its memories with the simulator's.

Not here: which packets are run (the tests of vla_data_loader, vla_weight_loader and vla_store_engine).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from bench import COMPILER, RTL, verilator
from numpy.typing import NDArray

from vla_isa.encoding import Packet, encode, illegal
from vla_isa.hardware import HardwareConfig
from vlarun.execute import copy
from vlarun.memory import Machine

HERE = Path(__file__).parent
QUEUES = ("wload", "load", "store")  # of the bench
NOISE_WORDS = 16  # the last words of the activation memory, written by the noise lanes
FLAGS = (
    "--cc",
    "--exe",
    "--build",
    "-j",
    "2",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-Wall",
    "-MAKEFLAGS",
    COMPILER,
)


@dataclass(frozen=True)
class Result:
    """What a run did: its cycles, AXI errors by queue, cycles of acceptance and end by queue, the memories."""

    cycles: int
    errors: dict[str, int]
    accepted: dict[str, NDArray[np.uint64]]
    done: dict[str, NDArray[np.uint64]]
    memories: dict[str, NDArray[np.uint8]]


@lru_cache(maxsize=8)
def build(hw: HardwareConfig) -> Path:
    """The bench for a config; Verilator and make rebuild only what changed."""
    folder = RTL / "build" / "copy_side" / hw.name
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "Block": hw.block,
        "ActWords": hw.act_words,
        "WeightWords": hw.weight_words,
        "ParamWords": hw.param_words,
        "WeightMasters": hw.weight_masters,
        "InMasters": hw.in_masters,
        "OutMasters": hw.out_masters,
    }
    command = [
        str(verilator()),
        *FLAGS,
        *(f"-I{RTL / d}" for d in ("generated", "lib", "src")),
        *(f"-G{k}={v}" for k, v in sizes.items()),
        "-CFLAGS",
        f"-std=c++17 -I{RTL / 'sim'}",
        "--top-module",
        "copy_side",
        "--Mdir",
        str(folder),
        "-o",
        "bench",
        "-Wno-UNUSEDSIGNAL",
        str(HERE / "copy_side.v"),
        str(HERE / "bench.cpp"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder / "bench"


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
        packets: legal COPY packets.
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
    job, log = folder / "job.bin", folder / "log.bin"
    job.write_bytes(
        b"".join(
            [
                head.tobytes(),
                machine.act.tobytes(),
                machine.data.tobytes(),
                machine.weight_space.tobytes(),
                *(encode(p) for q in queues for p in q),
            ]
        )
    )
    done = subprocess.run([build(hw), job, log], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return _read(machine, log.read_bytes(), [len(q) for q in queues])


def _read(machine: Machine, data: bytes, counts: list[int]) -> Result:
    """The result file: cycles, errors, (accepted, done) per packet, then the memories."""
    at = 8 * (1 + len(QUEUES))
    numbers = np.frombuffer(data, "<u8", 1 + len(QUEUES))
    accepted, ended = {}, {}
    for queue, count in zip(QUEUES, counts, strict=True):
        times = np.frombuffer(data, "<u8", 2 * count, at).reshape(count, 2)
        accepted[queue], ended[queue] = times[:, 0], times[:, 1]
        at += times.nbytes
    memories = {}
    for name in ("act", "data", "weight", "param"):
        memory = getattr(machine, name)
        memories[name] = np.frombuffer(data, np.uint8, memory.size, at).reshape(memory.shape)
        at += memory.size
    assert at == len(data)
    return Result(int(numbers[0]), dict(zip(QUEUES, map(int, numbers[1:]), strict=True)), accepted, ended, memories)


def check(machine: Machine, packets: list[Packet], result: Result) -> None:
    """Execute the packets on the machine in order and compare every memory; changes the machine.

    Raises:
        AssertionError: naming the memory that differs and its first few words.
    """
    for packet in packets:
        copy.execute(packet, machine)
    for name, found in result.memories.items():
        want = getattr(machine, name).view(np.uint8)
        if name == "act":
            found, want = found[:-NOISE_WORDS], want[:-NOISE_WORDS]
        if name == "data":
            found, want = found.reshape(-1, 64), want.reshape(-1, 64)
        bad = np.flatnonzero((found != want).any(axis=1))
        text = "; ".join(f"word {w}: {found[w].tolist()} instead of {want[w].tolist()}" for w in bad[:2])
        assert bad.size == 0, f"{bad.size} words of the {name} memory differ: {text}"
