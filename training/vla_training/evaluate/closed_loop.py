"""Closed-loop success of a policy on any backend, on seeds that no demonstration used.

Episode i has world seed `FIRST_EVALUATION_SEED + i` on every backend, so results pair up; what is played while a
policy is trained has seeds from `FIRST_VALIDATION_SEED` on. The step limit is the level's own. Episodes are played in
lockstep, `LOCKSTEP` at a time in each process; results depend neither on that nor on the number of processes.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.engine import ALONE, Engine
from vla_datasets.files import write_json
from vla_datasets.seeds import FIRST_EVALUATION_SEED, FIRST_VALIDATION_SEED
from vla_datasets.worlds.registry import find_world
from vla_isa.documents import read_json
from vla_models.registry import find_saved
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import HOST_BACKENDS, RunnerSpec, ServerSpec
from vla_training.evaluate.graph_calls import calls_of
from vla_training.evaluate.live import LiveRunner
from vla_training.evaluate.rollout import EpisodeResult, play
from vla_training.evaluate.runner import Runner
from vla_training.evaluate.runners import NetworkRunner, make_runner, module_compute
from vla_training.evaluate.statistics import Paired, mcnemar, wilson_interval

__all__ = [
    "LOCKSTEP",
    "MOST_EPISODES",
    "Evaluation",
    "compare",
    "evaluate",
    "load_evaluation",
    "parted",
    "play_module",
    "save_evaluation",
]

LOCKSTEP = 16  # episodes at a time in one process
MOST_EPISODES = 10_000_000


@dataclass(frozen=True)
class Evaluation:
    """All episodes of one policy on one backend, in the order of their seeds."""

    world: str
    level: str
    backend: str
    max_steps: int
    cycles: int | None  # of the longest call of the network, where the device counts them
    episodes: tuple[EpisodeResult, ...]
    clock_mhz: float | None = None  # the world moved on while the device computed at this clock; None: it waited

    @property
    def successes(self) -> int:
        """Number of successful episodes."""
        return sum(episode.success for episode in self.episodes)

    @property
    def rate(self) -> float:
        """Share of successful episodes."""
        return self.successes / len(self.episodes)

    @property
    def score(self) -> float:
        """Mean score of an episode."""
        return sum(episode.score for episode in self.episodes) / len(self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the success rate."""
        return wilson_interval(self.successes, len(self.episodes))

    @property
    def mean_steps(self) -> float:
        """Mean length of an episode, failed ones included."""
        return sum(len(episode.actions) for episode in self.episodes) / len(self.episodes)

    def summary(self) -> dict[str, Any]:
        """The numbers of a table row."""
        low, high = self.interval
        return {
            "world": self.world,
            "level": self.level,
            "backend": self.backend,
            "episodes": len(self.episodes),
            "successes": self.successes,
            "rate": self.rate,
            "interval_95": [low, high],
            "mean_steps": self.mean_steps,
            "max_steps": self.max_steps,
            "score": self.score,
            "failures": dict(Counter(e.failure for e in self.episodes if not e.success).most_common()),
            "cycles": self.cycles,
            "clock_mhz": self.clock_mhz,
        }


def evaluate(
    spec: RunnerSpec | ServerSpec,
    world: str,
    level: str,
    episodes: int,
    engine: Engine = ALONE,
    progress: Callable[[int], None] = lambda episodes: None,
    clock_mhz: float | None = None,
) -> Evaluation:
    """Play `episodes` episodes.

    Args:
        spec: backend and file of the policy, or the server that has it.
        world: its registered name.
        level: of the world, for example GoToObj.
        episodes: how many; the first ones of the fixed seed list.
        engine: where they are played; each worker has its own copy of the policy. A world that cannot be shared is
            played here.
        progress: called with the number of episodes just played.
        clock_mhz: the world moves on while the device computes at this clock (`live.py`); None: it waits.

    Raises:
        EvaluationError: nothing to play, or the policy cannot be loaded, or is not a device's where a clock is given.
    """
    if not 1 <= episodes <= MOST_EPISODES:
        raise EvaluationError(f"--episodes is {episodes}; it must be at least 1, and at most {MOST_EPISODES:,}.")
    found = find_world(world)
    with contextlib.closing(found.make(level)) as opened:
        opened.reset(seed=FIRST_EVALUATION_SEED)
        max_steps = opened.max_steps
    if found.single:
        engine = ALONE
    name = secrets.token_hex(8)
    _runner(spec, name, world, level, clock_mhz)  # what is wrong with it is said before any process is started
    dear = spec.backend == "rtl" or found.long
    least = 1 if dear else LOCKSTEP  # a process more would take longer to start than it plays
    size = min(50, max(least, -(-episodes // engine.workers)))
    seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + episodes)
    parts = [(spec, name, world, level, clock_mhz, seeds[n : n + size]) for n in range(0, episodes, size)]
    results: list[EpisodeResult] = []
    counted: list[int] = []
    for _, (played, most) in engine.run(_play_part, parts):
        results.extend(played)
        counted += [] if most is None else [most]
        progress(len(played))
    results.sort(key=lambda result: result.seed)  # parts end in any order
    return Evaluation(world, level, spec.backend, max_steps, max(counted, default=None), tuple(results), clock_mhz)


@functools.lru_cache(maxsize=1)
def _runner(spec: RunnerSpec | ServerSpec, evaluation: str, world: str, level: str, clock_mhz: float | None) -> Runner:
    """Of this process and this evaluation: a worker plays several parts, and another time the file is another one."""
    schema, runner = find_world(world).frame(level), make_runner(spec)
    if runner.frequency not in (None, schema.fps):
        raise EvaluationError(
            f"the policy acts {runner.frequency:g} times a second, and in the world '{world}' there are {schema.fps} "
            "actions a second; evaluate one that was trained at that."
        )
    if clock_mhz is None:
        return runner
    if schema.idle is None:
        raise EvaluationError(
            f"--live: the world '{world}' does not say what is done before the first action ('idle' of its schema)."
        )
    if spec.backend in HOST_BACKENDS:
        raise EvaluationError(f"--live needs the cycles of a device, and '{spec.backend}' has none; give a program.")
    return LiveRunner(runner, clock_mhz, schema.fps, schema.idle)


def _play_part(
    spec: RunnerSpec | ServerSpec,
    evaluation: str,
    world: str,
    level: str,
    clock_mhz: float | None,
    seeds: Sequence[int],
) -> tuple[list[EpisodeResult], int | None]:
    runner = _runner(spec, evaluation, world, level, clock_mhz)
    try:
        return _play(runner, world, level, seeds), runner.cycles()
    finally:
        runner.close()


def _play(runner: Runner, world: str, level: str, seeds: Sequence[int]) -> list[EpisodeResult]:
    found = find_world(world)
    with contextlib.ExitStack() as opened:
        count = 1 if found.single else min(LOCKSTEP, len(seeds))
        worlds = [opened.enter_context(contextlib.closing(found.make(level))) for _ in range(count)]
        return sorted(play(worlds, runner, seeds), key=lambda result: result.seed)


def play_module(policy: Any, name: str, world: str, level: str, episodes: int) -> list[EpisodeResult]:
    """Episodes with a policy that is being trained, in this process, on the first seeds of validation."""
    spec = find_saved(name)
    calls = calls_of(spec.preprocessor(policy.config))
    runner = NetworkRunner(module_compute(policy, calls), lambda: spec.preprocessor(policy.config))
    return _play(runner, world, level, range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + episodes))


def parted(first: Evaluation, second: Evaluation) -> tuple[int | None, ...]:
    """Per episode the first step at which two policies acted differently (from 0), None where they never did."""

    def step(one: tuple[Any, ...], other: tuple[Any, ...]) -> int | None:
        pairs = enumerate(zip(one, other, strict=False))
        return next((n for n, (a, b) in pairs if a != b), None if len(one) == len(other) else min(len(one), len(other)))

    return tuple(step(a.actions, b.actions) for a, b in zip(first.episodes, second.episodes, strict=True))


def compare(first: Evaluation, second: Evaluation) -> Paired:
    """Pair two evaluations episode by episode.

    Raises:
        EvaluationError: they are of other levels or seeds.
    """
    seeds = [[episode.seed for episode in evaluation.episodes] for evaluation in (first, second)]
    if (first.world, first.level) != (second.world, second.level) or seeds[0] != seeds[1]:
        raise EvaluationError(
            f"{first.backend} and {second.backend} were evaluated on different episodes; use equal levels and counts."
        )
    return mcnemar([e.success for e in first.episodes], [e.success for e in second.episodes])


def save_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write the summary and every episode as JSON."""
    episodes = [episode.to_json() for episode in evaluation.episodes]
    write_json(path, {**evaluation.summary(), "results": episodes})


def load_evaluation(path: Path) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Raises:
        EvaluationError: missing or damaged.
    """
    try:
        stored = read_json(path)
        _check_stored(stored)
        episodes = tuple(
            EpisodeResult(**{**e, "actions": tuple(e["actions"]), "elapsed": tuple(e.get("elapsed", ()))})
            for e in stored["results"]
        )
        head = {key: stored[key] for key in ("world", "level", "backend", "max_steps", "cycles")}
        return Evaluation(**head, episodes=episodes, clock_mhz=stored.get("clock_mhz"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is not an evaluation: {error}.") from error


def _check_stored(stored: Any) -> None:
    """Refuse values of other types than `save_evaluation` writes: they would count as numbers or successes.

    Raises:
        ValueError: names the episode and the key.
        KeyError, TypeError: something is missing, or is no table.
    """
    rows = stored["results"]
    if not isinstance(rows, list) or not rows:
        raise ValueError("it has no episodes")
    for key in ("world", "level", "backend"):
        _demand(isinstance(stored[key], str), key, stored[key], "a text")
    for key in ("max_steps", "cycles"):
        right = type(stored[key]) is int or (key == "cycles" and stored[key] is None)
        _demand(right, key, stored[key], "an integer")
    clock = stored.get("clock_mhz")
    _demand(clock is None or _finite(clock), "clock_mhz", clock, "a finite number")
    for number, row in enumerate(rows):
        where = f"episode {number}: "
        _demand(type(row["seed"]) is int, where + "seed", row["seed"], "an integer")
        _demand(type(row["success"]) is bool, where + "success", row["success"], "true or false")
        _demand(_finite(row["score"]), where + "score", row["score"], "a finite number")
        _demand(isinstance(row["actions"], list), where + "actions", row["actions"], "a list")
        elapsed = row.get("elapsed", [])
        right = isinstance(elapsed, list) and len(elapsed) in (0, len(row["actions"])) and all(map(_finite, elapsed))
        _demand(right, where + "elapsed", elapsed, "a list of finite numbers, one of each action or none")
        for key in ("task", "failure"):
            _demand(isinstance(row[key], str), where + key, row[key], "a text")
    if len({row["seed"] for row in rows}) < len(rows):
        raise ValueError("two episodes have the same seed")


def _demand(right: bool, what: str, value: Any, wanted: str) -> None:
    if not right:
        raise ValueError(f"{what} is {str(value)[:80]!r}, and must be {wanted}")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
