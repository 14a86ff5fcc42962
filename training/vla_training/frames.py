"""All frames of a data set split in memory, and the batches drawn from them.

BabyAI frames are 9 kB each, so 100,000 frames take 0.9 GB: no workers and no decoding while training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.worlds.babyai.schema import ACTION, FEATURES, IMAGE, IMAGE_SHAPE
from vla_models.babyai_cnn.config import ACTIONS
from vla_models.babyai_cnn.preprocess import one_hot, previous_actions, stack_indices
from vla_models.babyai_cnn.words import bag_of_words

__all__ = ["EpochSampler", "Frames", "load_frames"]


class Frames:
    """Frames of whole episodes; `batch` makes the inputs exactly as the robot's preprocessor does."""

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        missions: npt.NDArray[np.float32],
        actions: npt.NDArray[np.int64],
        episode_starts: npt.NDArray[np.int64],
    ) -> None:
        self._images = torch.from_numpy(images)  # (frames, 3, 56, 56)
        self._missions = torch.from_numpy(missions)  # (frames, 64)
        self._previous = torch.from_numpy(one_hot(previous_actions(actions, episode_starts)))
        self._stacks = torch.from_numpy(stack_indices(episode_starts))
        self._actions = torch.from_numpy(actions)

    def __len__(self) -> int:
        return len(self._actions)

    def batch(self, numbers: npt.NDArray[np.int64]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Inputs (image (N, 12, 56, 56), mission (N, 64), previous_action (N, 7)) and expert actions (N,)."""
        index = torch.from_numpy(numbers)
        image = self._images[self._stacks[index]].flatten(1, 2).float() / 255.0
        return (image, self._missions[index], self._previous[index]), self._actions[index]


def load_frames(root: Path, split: str) -> Frames:
    """Read and decode one split of a BabyAI data set.

    Raises:
        DatasetError: the set is damaged or not of this kind.
        ObservationError: a mission has a word outside the vocabulary.
    """
    dataset = open_dataset(root)
    columns = {name: FEATURES[name].arrow_type() for name in (IMAGE, ACTION)}
    images: list[npt.NDArray[np.uint8]] = []
    missions: list[npt.NDArray[np.float32]] = []
    actions: list[int] = []
    starts: list[int] = []
    for episode in dataset.read_episodes(dataset.split(split), columns):
        length = len(episode.columns[ACTION])
        starts.extend([len(actions)] * length)
        actions.extend(episode.columns[ACTION])
        missions.extend([bag_of_words(episode.task)] * length)
        for stored in episode.columns[IMAGE]:
            images.append(dataset.decode(stored, IMAGE_SHAPE).transpose(2, 0, 1))
    if min(actions) < 0 or max(actions) >= ACTIONS:
        raise DatasetError(f"{root}: an action is outside 0..{ACTIONS - 1}.")
    return Frames(np.stack(images), np.stack(missions), np.array(actions, np.int64), np.array(starts, np.int64))


class EpochSampler:
    """Frame numbers of each step's batch: every epoch visits each frame at most once, in its own order.

    The order depends only on (seed, epoch): the sampler's whole state is the step, and a resumed run goes on
    exactly where it stopped.
    """

    def __init__(self, frames: int, batch_size: int, seed: int) -> None:
        self._frames = frames
        self._batch_size = min(batch_size, frames)
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
