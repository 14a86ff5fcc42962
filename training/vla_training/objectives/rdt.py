"""RDT's objective (Liu et al. 2024, arXiv 2410.07864): diffusion of a robot's own values, with conditions left out.

Other than the published code, places that the robot does not have count for nothing: they would fill nine tenths of the
loss with zeros to learn.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vla_models.rdt.names import MASK_INPUT, STATE_INPUT
from vla_models.sampling import ACTION
from vla_training.errors import TrainConfigError
from vla_training.objectives.on_the_way import noised, predicted

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["RdtObjective"]

_LEAST = 1e-3  # of a joint's size, as published


@dataclass(frozen=True)
class RdtObjective:
    """The network says the chunk; each condition is left out of `drop` of the samples, on its own."""

    teaches: ClassVar[str] = ACTION

    drop: float = 0.1
    state_snr: float = 40.0  # dB, of the data's deviation over the noise that is added to the state

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1:
            raise TrainConfigError(f"'drop' is {self.drop}; it must be from 0 to below 1.")
        if not math.isfinite(self.state_snr):
            raise TrainConfigError(f"'state_snr' is {self.state_snr}; it must be a finite number of dB.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean squared error of the chunk over the robot's values, in the network's units.

        `variance`, to watch: what a network that knows nothing would have.

        Raises:
            TrainConfigError: the batch has no conditions that may be left out.
        """

        from vla_models.rdt.batches import RdtBatch

        if not isinstance(batch, RdtBatch):
            raise TrainConfigError(
                "objective 'rdt' takes a policy with conditions that may be left out. Choose policy 'rdt', or another "
                "'objective'."
            )
        chunk, valid = batch.target, batch.inputs[MASK_INPUT][:, None]
        noise = draws.normal(*chunk.shape) * valid
        way, time = noised(chunk, noise, draws)
        inputs = self._left_out(self._with_noise(batch.inputs, batch.state_spread, draws), batch.absent, draws)
        found = predicted("rdt", policy, dataclasses.replace(batch, inputs=inputs), way, time)
        counts = valid.expand_as(chunk)
        loss = ((found - chunk).square() * counts).sum() / counts.sum()
        return loss, {"variance": chunk[counts > 0].var()}

    def sampled(self, policy: Any, batch: Batch, draws: Draws) -> dict[str, float]:
        """Of the chunks that the policy's sampler says, in the robot's units.

        `mse` is the mean squared error; `l2err` the mean of errors, each over the root mean square of that joint's
        state in the data, plus 0.001.

        Args:
            policy: not wrapped.
            batch: what its `prepare` made.
            draws: the first noise.
        """
        import numpy as np
        import torch

        from vla_models.chunks.names import NOISE
        from vla_models.rdt.vectors import action_values

        chunk, config = batch.target, policy.config
        noise = draws.normal(*chunk.shape) * batch.inputs[MASK_INPUT][:, None]
        with torch.no_grad():
            said = policy.graphs()[0].module(*{**batch.inputs, NOISE: noise}.values())
        found, wanted = (action_values(config, t.float().cpu().numpy()) for t in (said, chunk))
        size = np.sqrt(np.square(config.state_mean) + np.square(config.state_std))
        error = np.abs(found - wanted)
        return {"mse": float(np.square(error).mean()), "l2err": float((error / (size + _LEAST)).mean())}

    def _with_noise(self, inputs: Mapping[str, Any], spread: torch.Tensor, draws: Draws) -> Any:

        state = inputs[STATE_INPUT]
        noise = draws.normal(*state.shape)
        return {**inputs, STATE_INPUT: state + noise * spread * 10 ** (-self.state_snr / 20)}

    def _left_out(self, inputs: Mapping[str, Any], conditions: Any, draws: Draws) -> Any:
        import torch

        found = dict(inputs)
        for absent in conditions:
            gone = draws.uniform(len(inputs[STATE_INPUT])) < self.drop
            for name, value in absent.items():
                found[name] = torch.where(gone.reshape(-1, *[1] * (value.ndim - 1)), value, found[name])
        return found
