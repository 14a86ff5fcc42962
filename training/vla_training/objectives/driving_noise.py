"""What training does to driving samples: mirror images, other light, and a past that is less certain.

Not here: the loss (`driving.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from vla_models.draws import Draws
from vla_models.driving.names import COMMAND, CONCEPT_KEYS, IMAGE, MEASURES, MIRRORED, SPEED_UNIT
from vla_models.policy import Batch

__all__ = ["MIRRORED_BRANCHES", "control_columns", "mirror", "past_noise", "relight"]

MIRRORED_BRANCHES = (0, 3, 4)  # follow the lane and change lanes; a turn mirrored crosses the other traffic or not
_STEER = 0  # column of the measures and of the control
_PAST = (0.01, 0.01, 0.2 / SPEED_UNIT)  # standard deviations of steer, throttle minus brake, and speed
_LIGHT_SHARE, _LEAST, _MOST = 0.8, 0.7, 1.3  # of samples; factors of brightness and contrast


def mirror(batch: Batch, chosen: torch.Tensor) -> Batch:
    """The chosen samples (N,) as in a mirror: image, steering now and before, and left for right in the command."""
    inputs = dict(batch.inputs)
    picks = chosen[:, None]
    inputs[IMAGE] = torch.where(picks[:, :, None, None], inputs[IMAGE].flip(-1), inputs[IMAGE])
    swapped = inputs[COMMAND][:, torch.tensor(MIRRORED, device=chosen.device)]
    inputs[COMMAND] = torch.where(picks, swapped, inputs[COMMAND])
    inputs[MEASURES] = _turned(inputs[MEASURES], chosen)
    return Batch(inputs, _turned(batch.target, chosen), batch.target_is_pad, batch.progress)


def _turned(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    signs = torch.ones_like(values)
    signs[:, _STEER] = torch.where(chosen, -1.0, 1.0)
    return values * signs


def relight(inputs: Mapping[str, torch.Tensor], draws: Draws) -> dict[str, torch.Tensor]:
    """Brightness and contrast of four in five images times 0.7 to 1.3 each; all frames of a stack alike."""
    image = inputs[IMAGE]
    shape = (len(image), 1, 1, 1)

    def factors() -> torch.Tensor:
        drawn = draws.uniform(*shape) * (_MOST - _LEAST) + _LEAST
        some = draws.uniform(*shape) < _LIGHT_SHARE
        return torch.where(some, drawn, torch.ones_like(drawn))

    bright = image * factors()
    mean = bright.mean(dim=(1, 2, 3), keepdim=True)
    return {**inputs, IMAGE: ((bright - mean) * factors() + mean).clamp(0, 1)}


def past_noise(inputs: Mapping[str, torch.Tensor], forgotten: float, draws: Draws) -> dict[str, torch.Tensor]:
    """Some noise on what the car did and does; of a share of the samples, drawn one by one, no last action at all.

    Else the policy learns to repeat its last action, which is nearly always right in demonstrations.
    """
    measures = inputs[MEASURES]
    deviations = torch.tensor(_PAST, device=measures.device)
    noisy = measures + draws.normal(*measures.shape) * deviations
    gone = draws.uniform(len(measures), 1) < forgotten
    kept = torch.cat([noisy[:, :2] * ~gone, noisy[:, 2:]], dim=1)
    return {**inputs, MEASURES: kept}


def control_columns(target: torch.Tensor) -> int:
    """How many columns of a driving target are control; the concepts are behind them."""
    return int(target.shape[1]) - len(CONCEPT_KEYS)
