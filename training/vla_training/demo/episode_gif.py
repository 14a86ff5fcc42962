"""An evaluated episode as an animated GIF, embedded as a data URL."""

from __future__ import annotations

import base64
import contextlib
import io

import numpy as np
from PIL import Image

from vla_datasets.keys import image
from vla_datasets.worlds.registry import find_world
from vla_training.evaluate.rollout import EpisodeResult, replay

__all__ = ["episode_gif"]

_MILLISECONDS = 400  # per picture
_MOST = 80  # pictures of an episode; of a longer one every so many steps are shown
_GAP = 8  # pixels between two pictures


def episode_gif(world: str, level: str, episode: EpisodeResult) -> str:
    """Play the episode's actions again; left everything, right what the policy's cameras see, enlarged.

    Of an episode of more than 80 steps some are left out, evenly.
    """
    pictures = []
    with contextlib.closing(find_world(world).make(level)) as opened:
        every = -(-len(episode.actions) // _MOST)
        for number, moment in enumerate(replay(opened, episode.seed, episode.actions, episode.elapsed)):
            if number % every:
                continue
            height = moment.picture.shape[0]
            parts = [moment.picture]
            for view in (value for key, value in moment.observation.items() if key.startswith(image(""))):
                enlarged = Image.fromarray(view).resize((height, height), Image.Resampling.NEAREST)
                parts += [np.full((height, _GAP, 3), 255, np.uint8), np.asarray(enlarged)]
            pictures.append(Image.fromarray(np.concatenate(parts, axis=1)))
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
