"""RDT's own deployment call, `step(proprio, images, text_embeds)`, over a program or any other runner of the network.

Not here: episodes of a world (`preprocess.py`), which keep their own pictures and find their own instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.chunks.ensemble import Ensemble
from vla_models.chunks.names import ACTIONS
from vla_models.errors import ObservationError
from vla_models.language.embeddings import padded
from vla_models.observed import check_floats, check_picture
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.inputs import network_inputs, said_actions
from vla_models.rdt.pictures import network_picture

__all__ = ["DeployedRdt"]

Floats = npt.NDArray[np.float32]
Run = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]


class DeployedRdt:
    """What a robot's loop calls.

    Args:
        config: of the saved policy.
        run: the network, inputs by name to outputs by name: `vlarun.open_session("prog.bin").run`, for example.
        seed: of the noise.

    Raises:
        ObservationError: the policy takes features of pictures, which are made elsewhere.
    """

    def __init__(self, config: RdtConfig, run: Run, seed: int = 0) -> None:
        if not config.channels:
            raise ObservationError("rdt: 'channels' is empty: features of pictures are the input, made elsewhere.")
        self._config, self._run = config, run
        self._random = np.random.default_rng(seed)
        self._ensemble = Ensemble(config.horizon, config.ensemble)

    def reset(self) -> None:
        """Forget the chunks of the last episode."""
        self._ensemble.clear()

    def step(self, proprio: npt.ArrayLike, images: Sequence[Any], text_embeds: npt.ArrayLike) -> Floats:
        """A chunk (1, horizon, joints) from now on, in the robot's units.

        Args:
            proprio: (1, joints), as the robot counts them.
            images: of each camera, the oldest first: uint8 (height, width, 3) in RGB or of `PIL`, None where there is
                none, as for what came before an episode's first picture.
            text_embeds: (1, tokens, width), of the encoder that the policy was trained with.

        Raises:
            ObservationError: something is of another shape, or no finite numbers.
            LanguageError: the instruction has too many tokens.
        """
        c = self._config
        if len(images) != len(c.pictures):
            raise ObservationError(f"There are {len(images)} images; the policy takes {len(c.pictures)}: {_order(c)}.")
        checked = [i if i is None else check_picture("an image", i, c.image_height, c.image_width) for i in images]
        pictures = [network_picture(c, i) for i in checked]
        text = np.asarray(text_embeds)
        if text.ndim != 3 or len(text) != 1 or text.shape[2] != c.language_width or not np.isfinite(text).all():
            raise ObservationError(
                f"text_embeds is {text.shape}; it must be (1, tokens, {c.language_width}), of finite numbers."
            )
        words = padded(text[0].astype(np.float32), c.language_tokens)
        state = check_floats("proprio", proprio, len(c.state_mean))
        outputs = self._run(network_inputs(c, state, words, pictures, self._random))
        return said_actions(c, outputs[ACTIONS])[None]

    def action(self, proprio: npt.ArrayLike, images: Sequence[Any], text_embeds: npt.ArrayLike) -> Floats:
        """One action (joints,), asked for each step: the mean of what this chunk and the last ones say of now.

        Published: a chunk is done to its end, and there is a jerk between two. `ensemble` of the config is the decay of
        the older ones' weights. Arguments and errors as those of `step`.
        """
        return self._ensemble.action(self.step(proprio, images, text_embeds)[0])


def _order(config: RdtConfig) -> str:
    return ", ".join(f"{camera} {age} steps ago" if age else f"{camera} now" for camera, age in config.pictures)
