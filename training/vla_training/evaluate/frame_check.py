"""Run recorded frames on `sim` and `rtl` and compare the raw output integers, byte for byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.registry import find_world
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import Evaluation
from vla_training.evaluate.rollout import play
from vla_training.evaluate.runners import network_runner

__all__ = ["FrameCheck", "check_frames", "record_frames"]

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class FrameCheck:
    """Frames of one program on both backends; cycles and bytes are means per frame."""

    config: str
    frames: int
    output_bytes: int  # compared, over all frames
    equal: bool
    first_difference: str  # empty if equal
    rtl_cycles: float
    sim_cycles: float  # the performance model's
    macs: int
    utilization: float  # measured on rtl
    hbm_read_bytes: int
    hbm_write_bytes: int
    rtl_seconds: float  # of simulation, for all frames

    def to_json(self) -> dict[str, Any]:
        """As stored in the demo's folder."""
        return asdict(self)


def record_frames(evaluation: Evaluation, spec: RunnerSpec, minimum: int) -> dict[str, npt.NDArray[np.float32]]:
    """The inputs that a policy saw in the first whole episodes of an evaluation, `minimum` frames or more.

    Args:
        evaluation: of the policy.
        spec: the policy, which plays them again.
        minimum: how many frames there must be.

    Raises:
        EvaluationError: the evaluation has fewer frames, or the policy acts otherwise now.
    """
    runner = network_runner(spec)
    frames: list[Arrays] = []
    runner.watch = frames.append
    with contextlib.closing(find_world(evaluation.world).make(evaluation.level)) as world:
        for episode in evaluation.episodes:
            if len(frames) >= minimum:
                break
            (played,) = play([world], runner, [episode.seed])
            if played != episode:
                raise EvaluationError(f"{spec.path} did something else in the episode of seed {episode.seed} before.")
    if len(frames) < minimum or not frames:
        raise EvaluationError(f"The evaluation has {len(frames)} frames, not {minimum}; play more episodes.")
    return {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}


def check_frames(
    program: Path,
    config: str,
    frames: Arrays,
    progress: Callable[[], None] = lambda: None,
    entry: Callable[[Arrays], str | None] | None = None,
) -> FrameCheck:
    """Run every frame on both backends.

    Args:
        program: prog.bin.
        config: name of its hardware config, for the report.
        frames: per input name, frames along axis 0.
        progress: called after each frame.
        entry: says the entry point of a frame; None: the first one.
    """
    import vlarun

    module: Any = vlarun
    sim: Any = module.Session(str(program), backend="sim")
    rtl: Any = module.Session(str(program), backend="rtl")
    count = len(next(iter(frames.values())))
    compared, difference = 0, ""
    cycles: dict[str, list[int]] = {"sim": [], "rtl": []}
    seconds = 0.0
    for number in range(count):
        inputs = {name: values[number : number + 1] for name, values in frames.items()}
        point = None if entry is None else entry(inputs)
        expected: Arrays = sim.run(inputs, raw=True, entry=point)
        found: Arrays = rtl.run(inputs, raw=True, entry=point)
        cycles["sim"].append(int(sim.stats["cycles"]))
        cycles["rtl"].append(int(rtl.stats["cycles"]))
        seconds += float(rtl.stats["wall_seconds"])
        compared += sum(values.nbytes for values in expected.values())
        difference = difference or _first_difference(number, expected, found)
        progress()
    stats = rtl.stats
    mean_cycles = _mean(cycles["rtl"])
    return FrameCheck(
        config=config,
        frames=count,
        output_bytes=compared,
        equal=not difference,
        first_difference=difference,
        rtl_cycles=mean_cycles,
        sim_cycles=_mean(cycles["sim"]),
        macs=int(stats["macs"]),
        utilization=float(stats["macs"]) / (mean_cycles * float(stats["peak_macs_per_cycle"])),
        hbm_read_bytes=int(stats["hbm_read_bytes"]),
        hbm_write_bytes=int(stats["hbm_write_bytes"]),
        rtl_seconds=seconds,
    )


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def _first_difference(frame: int, expected: Arrays, found: Arrays) -> str:
    """What differs first in one frame, in words; empty if nothing does."""
    if expected.keys() != found.keys():
        return f"frame {frame}: outputs {sorted(expected)} on sim, {sorted(found)} on rtl"
    for name, values in expected.items():
        other = found[name]
        if values.dtype != other.dtype or values.shape != other.shape:
            shapes = f"{values.dtype}{values.shape} on sim, {other.dtype}{other.shape} on rtl"
            return f"frame {frame}, '{name}': {shapes}"
        wrong = np.argwhere(values != other)
        if len(wrong):
            place = tuple(int(index) for index in wrong[0])
            return f"frame {frame}, '{name}'{list(place)}: {values[place]} on sim, {other[place]} on rtl"
    return ""
