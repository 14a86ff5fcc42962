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

    Args:
        frames: how many there are.
        batch_size: of a step.
        seed: of the order.
        shares: (frames,) of each frame in which share of the epochs it is visited, from 0 to 1; None for all.

    Raises:
        TrainConfigError: an epoch has fewer frames than a batch.
    """

    def __init__(self, frames: int, batch_size: int, seed: int, shares: npt.NDArray[np.float64] | None = None) -> None:
        # Rounding may lose one of a whole number of frames, and another order of the sum rounds otherwise.
        self._visited = frames if shares is None else int(shares.sum() - 1e-6)
        if batch_size > self._visited:
            raise TrainConfigError(
                f"'batch_size' is {batch_size}, more than the {self._visited} frames to learn from; lower it, or "
                "collect more."
            )
        self._frames, self._batch_size, self._shares = frames, batch_size, shares
        self._seed = seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one epoch; the frames left over are other ones in each epoch."""
        return self._visited // self._batch_size

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """Frame numbers of step `step` (from 0)."""
        epoch, position = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self._drawn(epoch), epoch
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]

    def _drawn(self, epoch: int) -> npt.NDArray[np.int64]:
        """All frames in the epoch's order; of them, by shares, those in which the sum of shares passes a mark.

        Marks are one apart and begin at random (systematic sampling): each frame comes with the probability that is its
        share, and the number of frames is that of every epoch.
        """
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(self._frames)
        if self._shares is None:
            return order
        passed = np.floor(np.cumsum(self._shares[order]) + random.random())
        return order[np.diff(passed, prepend=0.0) > 0][: self._visited]


def seed_step(device: torch.device, seed: int, step: int, process: int = 0, part: int = 0) -> torch.Generator:
    """Seed torch's own generators and return another one, all from the run's seed and step.

    The first are what dropout draws from, others for each process and part of a batch; the returned one is the
    objective's, the same for all, see `Draws`.
    """
    import torch

    torch.manual_seed(int(np.random.SeedSequence((seed, step, process, part)).generate_state(1, np.uint32)[0]))
    shared = np.random.SeedSequence((seed, step, 0, 0)).generate_state(2, np.uint32)[1]
    return torch.Generator(device).manual_seed(int(shared))
