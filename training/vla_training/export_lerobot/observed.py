"""Which columns of a data set a policy's preprocessor reads. No policy states that: it is asked, and watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.reader import Dataset
from vla_models.policy import Preprocessor, history_of

__all__ = ["observed_features"]


class _Watched(Mapping[str, Any]):
    """An observation of zeros that remembers what was read of it; what a data set does not declare, it does not have.

    Raises:
        DatasetError: a feature that is read is none that can be; from `[]`.
    """

    def __init__(self, data: Dataset, history: int) -> None:
        self._data, self._history = data, history
        self.read: dict[str, Feature] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._data.info["features"]:
            raise KeyError(key)
        feature = self.read[key] = self._data.feature(key)
        steps = (self._history,) if self._history > 1 else ()
        return np.zeros((*steps, *feature.shape), np.uint8 if feature.dtype == "image" else feature.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._data.info["features"])

    def __len__(self) -> int:
        return len(self._data.info["features"])


def observed_features(preprocessor: Preprocessor, data: Dataset) -> dict[str, Feature]:
    """The columns that become the network's inputs, in the order in which they are read.

    Args:
        preprocessor: of the policy; it is reset.
        data: whose frames it would be given.

    Raises:
        ObservationError: the data set lacks something, or has it in another shape or type.
        DatasetError: a column is none that can be read.
    """
    watched = _Watched(data, history_of(preprocessor))
    preprocessor.reset(next(iter(data.tasks.values()), ""))
    preprocessor.inputs(watched)
    return watched.read
