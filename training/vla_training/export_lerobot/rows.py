"""A policy of ours under LeRobot's batches: each row is an episode of its own, with the chunks and seeds of evaluation.

LeRobot's pictures are float (N, 3, H, W) in [0, 1], ours uint8 (H, W, 3); vectors are (N, *shape) in both.
Not here: LeRobot's classes (`plugin`); nothing of LeRobot is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vla_datasets.keys import TASK, Sample
from vla_models.errors import ObservationError, PolicyError
from vla_models.registry import PolicySpec
from vla_training.evaluate.graph_calls import calls_of
from vla_training.evaluate.runners import NetworkRunner, module_compute

__all__ = ["Rows"]

Batch = Mapping[str, Any]


class Rows:
    """Plays as many episodes side by side as the batch that begins them has rows.

    Args:
        spec: the policy.
        config: its config.
        module: the network, which may move to another device between episodes.
        shapes: of what is observed, by key, without N; three sizes are a picture's, channels first.
        pictures: which of the keys are pictures.
        seed: of the first episode. The following ones, row by row and batch by batch, have the seeds behind it, as
            `lerobot-eval` counts those of its environments.
    """

    def __init__(
        self,
        spec: PolicySpec,
        config: Any,
        module: torch.nn.Module,
        shapes: Mapping[str, tuple[int, ...]],
        pictures: frozenset[str],
        seed: int,
    ) -> None:
        self._spec, self._config, self._module = spec, config, module
        self._shapes, self._pictures, self._seed = shapes, pictures, seed
        self._runner: NetworkRunner | None = None
        self._count = 0

    def reset(self) -> None:
        """The next batch begins new episodes."""
        self._runner = None

    def act(self, batch: Batch) -> torch.Tensor:
        """The next action of each row, (N, values).

        Raises:
            ObservationError: the batch is not what the policy observes, or has another number of rows than before.
        """
        runner, samples = self._begun(batch)
        return _stacked(runner.act(samples))

    def chunk(self, batch: Batch) -> torch.Tensor:
        """What each row would do from now on until the network is asked again, (N, steps, values).

        Raises:
            ObservationError: see `act`.
        """
        runner, samples = self._begun(batch)
        chunks = runner.ask({row: runner.window(row, sample) for row, sample in samples.items()})
        return torch.stack([_stacked(dict(enumerate(chunks[row]))) for row in samples])

    def _begun(self, batch: Batch) -> tuple[NetworkRunner, dict[int, Sample]]:
        """The episodes in progress, or new ones, and what they observe."""
        samples = self._samples(batch)
        if self._runner is None:
            calls = calls_of(self._spec.preprocessor(self._config))
            runner = NetworkRunner(module_compute(self._module, calls), lambda: self._spec.preprocessor(self._config))
            for row, sample in samples.items():
                runner.reset(row, sample[TASK], self._seed + row)
            self._runner, self._count = runner, len(samples)
            self._seed += len(samples)
        if len(samples) != self._count:
            raise ObservationError(
                f"The batch has {len(samples)} rows, and its episodes began with {self._count}; call reset() first."
            )
        return self._runner, dict(samples)

    def _samples(self, batch: Batch) -> dict[int, Sample]:
        columns = {key: self._column(batch, key) for key in self._shapes}
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1 or counts == {0}:
            said = ", ".join(f"'{key}' {len(column)}" for key, column in columns.items())
            raise ObservationError(f"The batch has no rows, or not as many of each: {said}.")
        tasks = _tasks(batch, counts.pop())
        return {
            row: {**{key: column[row] for key, column in columns.items()}, TASK: task} for row, task in enumerate(tasks)
        }

    def _column(self, batch: Batch, key: str) -> Any:
        """One key of the batch as our arrays, (N, ...)."""
        if key not in batch:
            raise ObservationError(f"The batch has no '{key}'; it has {', '.join(map(str, batch))}.")
        given, shape = batch[key], self._shapes[key]
        if not isinstance(given, torch.Tensor):
            raise ObservationError(f"'{key}' is {type(given).__name__}; it must be a tensor.")
        if shape == (1,) and given.ndim == 1:  # LeRobot's data sets hold single numbers without an axis
            given = given[:, None]
        if tuple(given.shape[1:]) != shape or given.ndim != len(shape) + 1:
            raise ObservationError(f"'{key}' is {tuple(given.shape)}; it must be (rows, {', '.join(map(str, shape))}).")
        return _pixels(key, given) if key in self._pictures else _numbers(key, given)


def _pixels(key: str, given: torch.Tensor) -> Any:
    """Bytes (N, H, W, 3) of pixels in [0, 1]; of bytes that were divided by 255, exactly these."""
    if given.dtype not in (torch.float32, torch.float64):
        raise ObservationError(f"'{key}' is {given.dtype}; it must be float32, which tells all bytes apart.")
    values = given.detach().cpu().double()
    if not bool(((values >= 0) & (values <= 1)).all()):  # nor NaN
        low, high = float(values.min()), float(values.max())
        raise ObservationError(
            f"'{key}' goes from {low:.3g} to {high:.3g}; pixels must be from 0 to 1, not normalized."
        )
    return (values * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _numbers(key: str, given: torch.Tensor) -> Any:
    values = given.detach().cpu()
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    if not bool(torch.isfinite(values).all()):
        raise ObservationError(f"'{key}' holds values that are no finite numbers.")
    return values.numpy()


def _tasks(batch: Batch, rows: int) -> list[str]:
    """The instruction of each row; one text is that of all, and none is ""."""
    given = batch.get(TASK, "")
    found = [given] * rows if isinstance(given, str) else given
    right = isinstance(found, list | tuple) and len(found) == rows and all(isinstance(text, str) for text in found)
    if not right:
        raise ObservationError(f"'{TASK}' is {str(given)[:80]!r}; it must be a text for each of {rows} rows.")
    return list(found)


def _stacked(actions: Mapping[int, Any]) -> torch.Tensor:
    """(N, values), rows in order."""
    found = np.stack([np.asarray(actions[row]).reshape(-1) for row in sorted(actions)])
    if not found.size:
        raise PolicyError("The policy does nothing: its action is empty.")
    return torch.from_numpy(found)
