"""Build and run the Verilator bench of vla_mac_engine; compare its writes packet by packet.

Not here: which packets are run (`test_vla_mac_engine.py`) and what they mean (vlarun).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from bench import verilator
from numpy.typing import NDArray

from vla_isa.encoding import Packet, encode
from vla_isa.hardware import HardwareConfig
from vlarun.memory import Machine

HERE = Path(__file__).parent
RTL = HERE.parents[2] / "rtl"
BUILD = RTL / "build" / "test_mac"
FLAGS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
    "-Wall",
    "--cc",
    "--exe",
    "--build",
    "-j",
    "2",
    "-MAKEFLAGS",
    "OPT_FAST=-O3\\ -march=native OPT_SLOW=-O1 OPT_GLOBAL=-O3 CFG_CXXFLAGS_PCH_I=-include",
)


@dataclass(frozen=True)
class Result:
    """What a run of packets did: cycles and counts of each packet (int64), and its writes in order.

    `speed` is in simulated cycles per second.
    """

    accepted: NDArray[np.int64]
    done: NDArray[np.int64]
    busy: NDArray[np.int64]
    conflict: NDArray[np.int64]
    writes: list[tuple[NDArray[np.uint32], NDArray[np.int8]]]
    speed: float


@lru_cache(maxsize=4)
def build(hw: HardwareConfig) -> Path:
    """The bench for the sizes of a config; Verilator and make rebuild only what changed."""
    folder = BUILD / hw.name
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "Pixels": hw.pixels,
        "Block": hw.block,
        "RequantPixels": hw.requant_pixels,
        "ActWords": hw.act_words,
        "WeightWords": hw.weight_words,
        "ParamWords": hw.param_words,
    }
    command = [
        str(verilator()),
        *FLAGS,
        f"-I{RTL / 'generated'}",
        f"-I{RTL / 'lib'}",
        f"-I{RTL / 'src'}",
        *(f"-G{name}={value}" for name, value in sizes.items()),
        "--top-module",
        "vla_mac_engine",
        "--Mdir",
        str(folder),
        "-o",
        "bench",
        str(RTL / "src" / "vla_mac_engine.v"),
        str(HERE / "bench.cpp"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "bench"


def run(
    machine: Machine, packets: list[Packet], folder: Path, *, stalls: int = 0, seed: int = 1, gaps: int = 0
) -> Result:
    """Run packets one after the other from a machine's memories, which are left as they are.

    Args:
        machine: contents of the three scratchpads.
        packets: legal CONV and GEMM packets.
        folder: where the job and the log go.
        stalls: percent of grants refused.
        seed: of the refusals.
        gaps: percent of cycles in which no packet is offered.
    """
    hw = machine.hw
    head = np.array([len(packets), hw.act_words, hw.weight_words, hw.param_words, hw.block, stalls, seed, gaps], "<u4")
    job, log = folder / "job.bin", folder / "log.bin"
    job.write_bytes(
        b"".join(
            [
                head.tobytes(),
                machine.act.tobytes(),
                machine.weight.tobytes(),
                machine.param.tobytes(),
                *map(encode, packets),
            ]
        )
    )
    done = subprocess.run([build(hw), job, log], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    data = log.read_bytes()
    counts = np.frombuffer(data, "<i8", 5 * len(packets)).reshape(-1, 5)
    words = np.frombuffer(data, np.dtype([("address", "<u4"), ("word", "i1", (hw.block,))]), offset=counts.nbytes)
    parts = np.split(words, np.cumsum(counts[:, 2])[:-1])
    return Result(
        counts[:, 0],
        counts[:, 1],
        counts[:, 3],
        counts[:, 4],
        [(p["address"], p["word"]) for p in parts],
        float(done.stdout),
    )


def check(machine: Machine, packets: list[Packet], result: Result, meaning: Callable[[Packet, Machine], None]) -> None:
    """Replay a run's writes and compare the scratchpad with `meaning` after every packet; changes the machine.

    Raises:
        AssertionError: naming the first packet that differs, with the first few words.
    """
    memory = machine.act.copy()
    for number, (packet, (addresses, words)) in enumerate(zip(packets, result.writes, strict=True)):
        meaning(packet, machine)
        memory[addresses] = words
        wrong = np.flatnonzero((memory != machine.act).any(axis=1))
        text = [f"word {w}: {memory[w].tolist()} instead of {machine.act[w].tolist()}" for w in wrong[:3]]
        assert wrong.size == 0, f"packet {number} ({dict(packet.values)}): {wrong.size} words differ; {'; '.join(text)}"
