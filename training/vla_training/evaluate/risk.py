"""What a policy says of the risk of held-out runs, on any backend, frame after frame as a robot would be told.

Nothing is driven: the frames are recorded. Where signals are shuffled, each run gets another run's video or telemetry:
what a policy then says worse it had from there. Not here: what the numbers mean (`risk_scores.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.files import write_json
from vla_datasets.keys import ACTION, TASK, Sample
from vla_datasets.lerobot.reader import Dataset, open_dataset
from vla_datasets.worlds.rover.names import HIGH, IMAGE, SAID, TELEMETRY, WEIGHT
from vla_models.sim_v0.names import CONFIDENCE
from vla_models.sim_v0.said import below_high, chances
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import network_runner
from vla_training.risk_scores import (
    alarm_threshold,
    alarms,
    confusion,
    expected_calibration_error,
)

__all__ = ["SHUFFLED", "RiskRow", "Said", "ask", "ask_frames", "save_predictions", "score", "table"]

SHUFFLED = {"video": IMAGE, "telemetry": TELEMETRY}
_TOGETHER = 16  # runs that are asked at a time
_KEYS = (IMAGE, TELEMETRY, WEIGHT, ACTION)

Run = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Said:
    """Of N frames, those that weigh anything: what is right, what was said, how sure, and how likely a high risk was.

    Attributes:
        ids: `run/frame` of each.
        right: indices of risk, reason and action, (N, 3).
        words: the same that were said, (N, 3).
        high: chance of a high risk, (N,).
        below: the likeliest risk that is not high, (N,).
        confidence: that all three are right, (N,).
        log_odds: of that, (N,), as the network gave them.
        cycles: of a frame on the device, where there is one.
    """

    ids: tuple[str, ...]
    right: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    high: npt.NDArray[np.float64]
    below: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    log_odds: npt.NDArray[np.float64]
    cycles: int | None = None

    @property
    def all_right(self) -> npt.NDArray[np.bool_]:
        """Where nothing that was said is wrong, (N,)."""
        found: npt.NDArray[np.bool_] = (self.right == self.words).all(axis=1)
        return found


def ask(
    spec: RunnerSpec,
    data: Path,
    split: str,
    most: int = 0,
    shuffled: str = "",
    progress: Callable[[int], None] = lambda frames: None,
) -> Said:
    """Ask a policy of every frame of a split's runs, or of its first `most` runs.

    Args:
        shuffled: "video" or "telemetry": each run gets that of another one.

    Raises:
        EvaluationError: there is no such policy, it says no risk, or there are too few runs.
        DatasetError: the set is damaged, or not the rover's.
    """
    if most < 0:
        raise EvaluationError(f"--runs is {most}; give at least 1, or leave it out for all.")
    dataset = open_dataset(data)
    episodes = list(dataset.split(split))[: most or None]
    if shuffled and len(episodes) < 2:
        raise EvaluationError(f"--shuffle takes another run's {shuffled}; '{split}' has {len(episodes)} run.")
    runner = network_runner(spec)
    found: list[Said] = []
    for numbers in np.array_split(episodes, -(-len(episodes) // _TOGETHER)):
        runs = list(_runs(dataset, [int(n) for n in numbers]))
        if shuffled:
            runs = _exchanged(runs, SHUFFLED[shuffled])
        said = ask_frames(runner, runs, [int(n) for n in numbers])
        found.append(said)
        progress(len(said.ids))
    joined = {
        f.name: np.concatenate([getattr(each, f.name) for each in found])
        for f in dataclasses.fields(Said)
        if f.name not in ("ids", "cycles")
    }
    return Said(tuple(i for each in found for i in each.ids), **joined, cycles=runner.cycles())


def ask_frames(runner: Any, runs: Sequence[Run], numbers: Sequence[int]) -> Said:
    """Ask a runner of runs in lockstep: frames by key, (frames, *shape) of each."""
    heard: list[dict[str, npt.NDArray[Any]]] = []
    kept: list[bool] = []
    runner.heard = lambda outputs: heard.append(dict(outputs))
    for slot in range(len(runs)):
        runner.reset(slot, "", 0)
    ids, right, words = [], [], []
    for step in range(max(len(run[ACTION]) for run in runs)):
        going = [slot for slot, run in enumerate(runs) if step < len(run[ACTION])]
        seen: dict[int, Sample] = {
            slot: {IMAGE: runs[slot][IMAGE][step], TELEMETRY: runs[slot][TELEMETRY][step], TASK: ""} for slot in going
        }
        said = runner.act(seen)
        for slot in going:
            if np.shape(said[slot]) != (len(SAID),):
                raise EvaluationError("The policy says no risk, reason and action.")
            kept.append(bool(runs[slot][WEIGHT][step] > 0))
            ids.append(f"{numbers[slot]}/{step}")
            right.append(runs[slot][ACTION][step])
            words.append(said[slot])
    outputs = {name: np.concatenate([each[name] for each in heard]) for name in heard[0]}
    chance = chances(outputs)
    each: dict[str, Any] = {
        "right": np.array(right),
        "words": np.array(words),
        "high": chance["risk"][:, HIGH],
        "below": below_high(chance),
        "confidence": chance[CONFIDENCE],
        "log_odds": np.asarray(outputs[CONFIDENCE], np.float64)[:, 0],
    }
    return Said(tuple(itertools.compress(ids, kept)), **{name: values[kept] for name, values in each.items()})


def _runs(dataset: Dataset, episodes: Sequence[int]) -> Iterator[Run]:
    features = {key: dataset.feature(key) for key in _KEYS}
    types = {key: feature.arrow_type() for key, feature in features.items()}
    for number in episodes:
        (episode,) = dataset.read_episodes(range(number, number + 1), types)
        pictures = np.stack([dataset.decode(value, features[IMAGE].shape) for value in episode.columns[IMAGE]])
        rest = {key: np.asarray(episode.columns[key], features[key].dtype) for key in _KEYS[1:]}
        counts = [len(words) for words in SAID.values()]
        if (rest[ACTION] < 0).any() or (rest[ACTION] >= counts).any():
            raise DatasetError(
                f"{dataset.root}: episode {number}: '{ACTION}' must be indices of {', '.join(SAID)}, from 0 to below "
                f"{', '.join(map(str, counts))}."
            )
        yield {IMAGE: pictures, **rest}


def _exchanged(runs: Sequence[Run], key: str) -> list[Run]:
    """Each run with the next one's signal; a shorter one begins again."""
    found = []
    for number, run in enumerate(runs):
        other = runs[(number + 1) % len(runs)][key]
        found.append({**run, key: other[np.arange(len(run[ACTION])) % len(other)]})
    return found


@dataclass(frozen=True)
class RiskRow:
    """The scores of one policy on one backend.

    Attributes:
        name: of the policy, its backend and what was shuffled.
        frames: how many.
        high_recall: of high risks, as the policy says them.
        false_alarms: of what is none, as the policy says it.
        recall_at: of high risks at the rate of false alarms that was asked for, with a threshold of these frames.
        accuracy: of risk, reason and action.
        f1_macro: of them.
        calibration_error: of the confidence that all three are right.
        confusions: counts by what is right and what is said, of risk, reason and action.
        cycles: of a frame on the device, where there is one.
    """

    name: str
    frames: int
    high_recall: float
    false_alarms: float
    recall_at: float
    accuracy: dict[str, float]
    f1_macro: dict[str, float]
    calibration_error: float
    confusions: dict[str, list[list[int]]]
    cycles: int | None

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return dataclasses.asdict(self)


def score(name: str, said: Said, false_alarms: float) -> RiskRow:
    """The scores of what was said.

    Raises:
        EvaluationError: no frame has a high risk, or all have.
    """
    high = said.right[:, 0] == HIGH
    if high.all() or not high.any():
        raise EvaluationError(f"{int(high.sum())} of {len(high)} frames have a high risk; recall needs both kinds.")
    called = (said.words[:, 0] == HIGH).astype(np.float64)
    recall, false = alarms(called, high, 1.0)
    at, _ = alarms(said.high, high, alarm_threshold(said.high, high, false_alarms))
    found = {
        word: confusion(said.right[:, column], said.words[:, column], len(words))
        for column, (word, words) in enumerate(SAID.items())
    }
    return RiskRow(
        name,
        len(high),
        recall,
        false,
        at,
        {word: each.accuracy for word, each in found.items()},
        {word: each.f1_macro for word, each in found.items()},
        expected_calibration_error(said.confidence, said.all_right),
        {word: each.counts.tolist() for word, each in found.items()},
        said.cycles,
    )


def save_predictions(path: Path, said: Said) -> None:
    """Write what was said in words, with `sample_id`, as JSON."""
    rows = []
    for number, name in enumerate(said.ids):
        words = {word: every[said.words[number, c]] for c, (word, every) in enumerate(SAID.items())}
        rows.append({"sample_id": name, **words, CONFIDENCE: float(said.confidence[number])})
    write_json(path, rows)


_COLUMNS = ("", "high recall", "false alarms", "recall at {:.0%}", "risk", "reason", "action", "ECE", "cycles")


def table(rows: Sequence[RiskRow], false_alarms: float) -> str:
    """The rows as text, columns aligned; risk, reason and action are accuracies."""
    lines = [tuple(column.format(false_alarms) for column in _COLUMNS)]
    for row in rows:
        shares = (row.high_recall, row.false_alarms, row.recall_at, *row.accuracy.values())
        numbers = (*(f"{100 * share:.1f} %" for share in shares), f"{row.calibration_error:.3f}")
        lines.append((row.name, *numbers, "-" if row.cycles is None else f"{row.cycles:,}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) + "\n"
        for line in lines
    )
