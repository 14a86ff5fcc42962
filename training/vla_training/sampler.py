"""Which frames each step of training sees, and the randomness of each step: both depend on the step alone.

So a run that goes on where it stopped needs no other state than the step to equal one that never stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["EpochSampler", "seed_step"]


class EpochSampler:
    """Frame numbers of each step's batch: every epoch visits each frame at most once, in its own order.

    The order depends only on (seed, epoch): the sampler's whole state is the step, and a resumed run goes on
    exactly where it stopped.

    Raises:
        TrainConfigError: there are fewer frames than a batch has.
    """

    def __init__(self, frames: int, batch_size: int, seed: int) -> None:
        if batch_size > frames:
            raise TrainConfigError(
                f"'batch_size' is {batch_size}, more than the {frames} frames to learn from; lower it, or collect more."
            )
        self._frames, self._batch_size = frames, batch_size
        self._seed = seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one epoch; the frames left over are other ones in each epoch."""
        return self._frames // self._batch_size

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """Frame numbers of step `step` (from 0)."""
        epoch, position = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._frames)
            self._epoch = epoch
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]


def seed_step(device: torch.device, *numbers: int) -> torch.Generator:
    """Seed torch's own generators and return another one, all from the run's seed, step, process and part of a batch.

    The first are what dropout draws from, the returned one is the objective's.
    """
    import torch

    first, second = (int(word) for word in np.random.SeedSequence(numbers).generate_state(2, np.uint32))
    torch.manual_seed(first)
    return torch.Generator(device).manual_seed(second)
