"""A policy that is asked about a chunk on its way from noise to action, as samplers do step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vla_models.chunks.names import NOISE
from vla_models.pusht.names import SEEN_CORNERS
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["asked", "noised", "predicted"]

_TIME = "time"


def noised(chunk: torch.Tensor, noise: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """Chunks (N, ...) on their way and their times (N,): alpha * chunk + sigma * noise of the samplers' schedule.

    Times are steps of the schedule, drawn evenly, over their number.
    """
    import torch

    from vla_models.sampling.noise_schedule import TRAINING_STEPS, signal

    step = draws.integers(TRAINING_STEPS, len(chunk))
    left = torch.from_numpy(signal()).float().to(chunk.device)[step].reshape(-1, *[1] * (chunk.ndim - 1))
    return left.sqrt() * chunk + (1 - left).sqrt() * noise, step.float() / TRAINING_STEPS


def predicted(
    objective: str, policy: torch.nn.Module, batch: Batch, way: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """What a policy says of chunks `way` (N, ...) at times (N,), with what is seen from the batch.

    Raises:
        TrainConfigError: the policy begins with no noise, or says something of another shape.
    """
    if NOISE not in batch.inputs:
        raise TrainConfigError(
            f"objective '{objective}' takes a policy that begins with '{NOISE}'; this one takes "
            f"{', '.join(batch.inputs)}. Choose another 'method' of the policy, or another 'objective'."
        )
    if SEEN_CORNERS in batch.inputs:
        raise TrainConfigError(
            f"objective '{objective}' does not ask for the corners that this policy says in training. Choose "
            "'objective' flow_and_corners."
        )
    found = asked(policy, batch, way, time)
    given = getattr(found, "shape", ())  # several outputs have none
    if given != batch.target.shape:
        raise TrainConfigError(
            f"objective '{objective}' compares equal shapes; the policy gives {tuple(given) or 'several outputs'}, the "
            f"actions to learn are {tuple(batch.target.shape)}. Choose another 'objective' or 'policy'."
        )
    said: torch.Tensor = found
    return said


def asked(policy: torch.nn.Module, batch: Batch, way: torch.Tensor, time: torch.Tensor) -> Any:
    """All that a policy which begins with noise says of chunks `way` at times (N,)."""
    return policy(*{**batch.inputs, NOISE: way, _TIME: time}.values())
