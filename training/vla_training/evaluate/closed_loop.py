"""Closed-loop success of a policy on any backend, on seeds that no demonstration used.

Episode i has environment seed `FIRST_EVALUATION_SEED + i` on every backend, so results pair up. The step
limit is the level's own (64 for the one-room GoTo levels). Results do not depend on the number of processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.files import write_json
from vla_datasets.worlds.babyai.environment import Environment
from vla_datasets.worlds.babyai.expert import FIRST_EVALUATION_SEED
from vla_isa.worker_pool import WorkerPool
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.rollout import EpisodeResult, play
from vla_training.evaluate.runners import Runner, make_runner
from vla_training.evaluate.statistics import Paired, mcnemar, wilson_interval

__all__ = ["Evaluation", "compare", "evaluate", "load_evaluation", "save_evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """All episodes of one policy on one backend, in the order of their seeds."""

    level: str
    backend: str
    max_steps: int
    episodes: tuple[EpisodeResult, ...]

    @property
    def successes(self) -> int:
        """Number of successful episodes."""
        return sum(episode.success for episode in self.episodes)

    @property
    def rate(self) -> float:
        """Share of successful episodes."""
        return self.successes / len(self.episodes)

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
            "level": self.level,
            "backend": self.backend,
            "episodes": len(self.episodes),
            "successes": self.successes,
            "rate": self.rate,
            "interval_95": [low, high],
            "mean_steps": self.mean_steps,
            "max_steps": self.max_steps,
        }


def evaluate(
    spec: RunnerSpec,
    level: str,
    episodes: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda episodes: None,
) -> Evaluation:
    """Play `episodes` episodes of `level`.

    Args:
        spec: backend and file of the policy.
        level: for example GoToObj.
        episodes: how many; the first ones of the fixed seed list.
        workers: processes, each with its own copy of the policy.
        progress: called with 1 after each episode.

    Raises:
        EvaluationError: nothing to play, or the policy cannot be loaded.
    """
    if episodes < 1:
        raise EvaluationError(f"--episodes is {episodes}; it must be at least 1.")
    environment = Environment(level)
    environment.reset(FIRST_EVALUATION_SEED)
    max_steps = environment.max_steps
    environment.close()
    seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + episodes)
    results: list[EpisodeResult] = []
    for result in _play_all(spec, level, seeds, min(workers, episodes)):
        results.append(result)
        progress(1)
    return Evaluation(level, spec.backend, max_steps, tuple(results))


_worker: tuple[Environment, Runner] | None = None  # of this process, set once by the pool


def _start_worker(spec: RunnerSpec, level: str) -> None:
    global _worker
    _worker = (Environment(level), make_runner(spec))


def _play_seed(seed: int) -> EpisodeResult:
    assert _worker is not None
    return play(*_worker, seed)


def _play_all(spec: RunnerSpec, level: str, seeds: range, workers: int) -> Iterator[EpisodeResult]:
    if workers <= 1:
        environment, runner = Environment(level), make_runner(spec)
        for seed in seeds:
            yield play(environment, runner, seed)
        environment.close()
        return
    make_runner(spec)  # what is wrong with it is said here; inside a pool's initializer it would only break the pool
    with _one_thread(), WorkerPool(workers, _start_worker, (spec, level)) as pool:
        yield from pool.map(_play_seed, seeds, chunksize=4)


class _one_thread:
    """One compute thread per child process: more would fight over the cores the other processes use."""

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self.names}
        os.environ.update(dict.fromkeys(self.names, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def compare(first: Evaluation, second: Evaluation) -> Paired:
    """Pair two evaluations episode by episode.

    Raises:
        EvaluationError: they are of other levels or seeds.
    """
    seeds = [[episode.seed for episode in evaluation.episodes] for evaluation in (first, second)]
    if first.level != second.level or seeds[0] != seeds[1]:
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
        stored = json.loads(path.read_text(encoding="utf-8"))
        episodes = tuple(
            EpisodeResult(int(e["seed"]), str(e["mission"]), bool(e["success"]), tuple(map(int, e["actions"])))
            for e in stored["results"]
        )
        return Evaluation(str(stored["level"]), str(stored["backend"]), int(stored["max_steps"]), episodes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is not an evaluation: {error}.") from error
