"""How good a policy's waypoints are on held-out frames of Waymo's form, beside what the past alone says.

Nothing is driven: each frame is asked once, on any backend. Not here: what the numbers mean
(`vla_datasets.waymo.metrics`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.files import write_json
from vla_datasets.keys import ACTION, STATE, TASK, Sample
from vla_datasets.lerobot.reader import Dataset, open_dataset
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.waymo.baselines import BASELINES
from vla_datasets.waymo.metrics import displacement
from vla_datasets.waymo.names import FUTURE, INTENT, RATED, SCORES
from vla_datasets.waymo.score import Motion, Scores, score
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import make_runner
from vla_training.evaluate.statistics import change_interval

__all__ = ["Frames", "WaypointRow", "held_out_frames", "save_rows", "score_baselines", "score_policy", "table"]

_TOGETHER = 16  # frames that are asked at a time
_KEYS = (STATE, INTENT, ACTION, RATED, SCORES)


@dataclass(frozen=True)
class Frames:
    """Frames of a set that are scored, in its order.

    Attributes:
        dataset: whose they are.
        split: of it.
        numbers: which frames of the split.
        segments: (frames,), the episode of each.
        columns: (frames, *shape) of them, without pictures.
    """

    dataset: Dataset
    split: str
    numbers: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]

    @property
    def motion(self) -> Motion:
        """What scores are made of."""
        past, future, rated, scores = (self.columns[key].astype(np.float64) for key in (STATE, ACTION, RATED, SCORES))
        return Motion([str(number) for number in self.numbers], past, future, rated, scores)

    def observations(self, shuffled: bool = False) -> Iterator[Sample]:
        """What a policy sees of each frame; pictures are decoded one after another.

        Args:
            shuffled: each segment has the pictures of the next one; a shorter one begins again.
        """
        names = [key for key, said in self.dataset.info["features"].items() if said.get("dtype") == "image"]
        features = {key: self.dataset.feature(key) for key in names}
        types = {key: feature.arrow_type() for key, feature in features.items()}
        read, episodes = self.dataset.read_episodes, self.dataset.split(self.split)
        shown = chain(read(episodes[1:], types), read(episodes[:1], types)) if shuffled else read(episodes, types)
        wanted, first, row = set(self.numbers.tolist()), 0, 0
        for own, seen in zip(read(episodes, {}), shown, strict=True):
            length, there = (int(self.dataset.episodes[each.episode_index]["length"]) for each in (own, seen))
            for number in range(length):
                if first + number in wanted:
                    pictures = {
                        k: self.dataset.decode(seen.columns[k][number % there], f.shape) for k, f in features.items()
                    }
                    known = {key: self.columns[key][row] for key in (STATE, INTENT)}
                    yield {**pictures, **known, TASK: own.task}
                    row += 1
            first += length


def held_out_frames(data: Path, split: str, most: int = 0) -> Frames:
    """The frames of a split, or so many of them, evenly spread.

    Raises:
        DatasetError: the set is damaged, or not of this form.
        EvaluationError: `most` is negative.
    """
    if most < 0:
        raise EvaluationError(f"--frames is {most}; give at least 1, or leave it out for all.")
    windows = load_windows(data, split, dict.fromkeys(_KEYS, (0,)))
    numbers = np.arange(len(windows))
    if most:
        numbers = np.unique(np.linspace(0, len(windows) - 1, most).astype(np.int64))
    batch = windows.batch(numbers)
    dataset = open_dataset(data)
    lengths = [int(dataset.episodes[episode]["length"]) for episode in dataset.split(split)]
    segments = np.repeat(np.arange(len(lengths)), lengths)[numbers]
    return Frames(dataset, split, numbers, segments, {key: batch[key][:, 0] for key in _KEYS})


@dataclass(frozen=True)
class WaypointRow:
    """A baseline, or a policy on a backend.

    Attributes:
        name: of it.
        scores: means over the frames.
        errors: (frames,), ADE@5s of each in m.
        segments: (frames,), the episode of each.
        cycles: of a frame on the device, where there are.
    """

    name: str
    scores: Scores
    errors: npt.NDArray[np.float64]
    segments: npt.NDArray[np.int64]
    cycles: int | None = None

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        each = {"errors": self.errors.tolist(), "segments": self.segments.tolist()}
        return {"name": self.name, "cycles": self.cycles, **dataclasses.asdict(self.scores), **each}


def score_baselines(frames: Frames) -> list[WaypointRow]:
    """What the past states alone say."""
    return [_row(name, frames, say(frames.columns[STATE])) for name, say in BASELINES.items()]


def _row(name: str, frames: Frames, points: npt.NDArray[Any], cycles: int | None = None) -> WaypointRow:
    motion = frames.motion
    return WaypointRow(name, score(motion, points), displacement(points, motion.future, 5), frames.segments, cycles)


def score_policy(
    spec: RunnerSpec, frames: Frames, progress: Callable[[int], None] = lambda frames: None, shuffled: bool = False
) -> WaypointRow:
    """A policy's waypoints on its backend.

    Args:
        shuffled: each segment is seen with the pictures of another one.

    Raises:
        EvaluationError: there is no such policy, it says no waypoints, or there is no other segment.
        ObservationError: the frames are not what it takes.
    """
    if shuffled and len(frames.dataset.split(frames.split)) < 2:
        raise EvaluationError(f"--shuffle takes another segment's pictures; '{frames.split}' has 1 segment.")
    runner = make_runner(spec)
    found: list[npt.NDArray[Any]] = []
    waiting: list[Sample] = []

    def ask() -> None:
        for slot, seen in enumerate(waiting):
            runner.reset(slot, seen[TASK], 0)
        said = runner.act(dict(enumerate(waiting)))
        found.extend(np.asarray(said[slot]) for slot in range(len(waiting)))
        progress(len(waiting))
        waiting.clear()

    for seen in frames.observations(shuffled):
        waiting.append(seen)
        if len(waiting) == _TOGETHER:
            ask()
    if waiting:
        ask()
    if found[0].shape != (FUTURE, 2):
        raise EvaluationError(f"{spec.path} says actions of shape {found[0].shape}, no waypoints ({FUTURE}, 2).")
    what = ", other pictures" if shuffled else ""
    return _row(f"{spec.path} ({spec.backend}{what})", frames, np.stack(found), runner.cycles())


def save_rows(path: Path, rows: Sequence[WaypointRow]) -> None:
    """Write them as JSON."""
    write_json(path, [row.to_json() for row in rows])


_COLUMNS = ("", "ADE@3s m", "ADE@5s m", "change", "95 % interval", "RFS", "ADE@5s to the best-rated m", "cycles")


def table(rows: Sequence[WaypointRow]) -> str:
    """The rows as text, columns aligned; `change` is that of ADE@5s from the first row, its interval over segments
    where there are several."""
    lines = [_COLUMNS]
    for row in rows:
        s, first = row.scores, rows[0]
        ade_3s, ade_5s, rfs, rated = (
            "-" if v is None else f"{v:.3f}" for v in (s.ade_3s, s.ade_5s, s.rfs, s.rated_ade_5s)
        )
        change = interval = "-"
        if row is not first and first.errors.any():
            change = f"{100 * (row.errors.mean() / first.errors.mean() - 1):+.1f} %"
            if np.ptp(first.segments):  # of one segment nobody knows how others differ
                low, high = change_interval(first.errors, row.errors, first.segments)
                interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
        cycles = "-" if row.cycles is None else f"{row.cycles:,}"
        lines.append((row.name, ade_3s, ade_5s, change, interval, rfs, rated, cycles))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) + "\n"
        for line in lines
    )
