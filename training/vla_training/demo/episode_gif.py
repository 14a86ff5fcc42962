"""An evaluated episode as an animated GIF, embedded as a data URL."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from vla_datasets.worlds.babyai.environment import Environment
from vla_training.evaluate.rollout import EpisodeResult, replay

__all__ = ["episode_gif"]

_MILLISECONDS = 400  # per step
_GAP = 8  # pixels between the room and the policy's view


def episode_gif(level: str, episode: EpisodeResult) -> str:
    """Play the episode's actions again; left the room from above, right the policy's 56x56 view, enlarged."""
    environment = Environment(level)
    pictures = []
    for moment in replay(environment, episode.seed, episode.actions):
        height = moment.room.shape[0]
        view = Image.fromarray(moment.view).resize((height, height), Image.Resampling.NEAREST)
        gap = np.full((height, _GAP, 3), 255, np.uint8)
        pictures.append(Image.fromarray(np.concatenate([moment.room, gap, np.asarray(view)], axis=1)))
    environment.close()
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=_MILLISECONDS,
        loop=0,
    )
    return "data:image/gif;base64," + base64.b64encode(stream.getvalue()).decode()
