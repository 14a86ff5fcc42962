"""Risk, reason and action by cross-entropy, and confidence by whether all three were right (SIM v0).

In the system that this is of, sample weights were read and not used, and the confidence had no loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vla_datasets.worlds.rover.names import HIGH
from vla_models.sim_v0.names import CONFIDENCE, WORDS
from vla_training.errors import TrainConfigError
from vla_training.risk_scores import alarm_threshold, alarms, expected_calibration_error

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["Risk"]


@dataclass(frozen=True)
class Risk:
    """Weights of the loss's parts and of its words; all are from 0 on, and finite."""

    reason: float = 0.5  # of the reason's cross-entropy; that of risk and of action is 1
    confidence: float = 0.2  # of the confidence's
    risk_weights: tuple[float, ...] = (1.0,) * len(WORDS["risk"])  # of none, low, medium, high
    reason_weights: tuple[float, ...] = (1.0,) * len(WORDS["reason"])  # of human, obstacle, tight_space, unknown
    action_weights: tuple[float, ...] = (1.0,) * len(WORDS["action"])  # of continue, slow, stop, reverse, turns
    false_alarms: float = 0.1  # share of what is no high risk that may be called so, where checkpoints are compared

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            values = tuple(map(float, self._weights(name)))  # TOML gives lists
            object.__setattr__(self, f"{name}_weights", values)
            if len(values) != len(words) or not all(math.isfinite(v) and v >= 0 for v in values) or not any(values):
                raise TrainConfigError(
                    f"'{name}_weights' is {list(values)}; it must be {len(words)} numbers from 0 on, not all 0."
                )
        for name in ("reason", "confidence"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be a finite number from 0 on.")
        if not 0 < self.false_alarms < 1:
            raise TrainConfigError(f"'false_alarms' is {self.false_alarms}; it must be between 0 and 1.")

    def _weights(self, name: str) -> tuple[float, ...]:
        found: tuple[float, ...] = getattr(self, f"{name}_weights")
        return found

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean over a batch's frames by their weights.

        Numbers to watch are the accuracies; in evaluation also what `judge` takes, of each frame that weighs anything.

        Raises:
            TrainConfigError: the policy says no risk.
        """
        import torch
        from torch.nn import functional

        wanted, outputs = batch.target, policy(*batch.inputs.values())
        if wanted.ndim != 2 or wanted.shape[1] != len(WORDS) + 1 or len(outputs) <= len(WORDS):
            raise TrainConfigError("objective 'risk' takes policy 'sim_v0'. Choose another 'objective' or 'policy'.")
        weights, total = wanted[:, -1], wanted[:, -1].sum().clamp(min=1e-6)
        losses, right, watched = [], torch.ones(len(wanted), dtype=torch.bool, device=wanted.device), {}
        for column, (name, logits) in enumerate(zip(WORDS, outputs, strict=False)):
            index = wanted[:, column].long()
            of_words = logits.new_tensor(self._weights(name))
            each = functional.cross_entropy(logits, index, weight=of_words, reduction="none")
            part = self.reason if name == "reason" else 1.0
            losses.append(part * (weights * each).sum() / total)
            hit = logits.detach().argmax(dim=1) == index
            right &= hit
            watched[f"{name}_accuracy"] = (weights * hit).double().sum() / total
        sure = outputs[len(WORDS)][:, 0]
        each = functional.binary_cross_entropy_with_logits(sure, right.to(sure.dtype), reduction="none")
        losses.append(self.confidence * (weights * each).sum() / total)
        if not policy.training:
            each_frame = {
                "high": wanted[:, 0] == HIGH,
                "high_chance": outputs[0].detach().double().softmax(dim=1)[:, HIGH],
                CONFIDENCE: sure.detach().double().sigmoid(),
                "right": right,
            }
            watched |= {name: values[weights > 0] for name, values in each_frame.items()}
        return torch.stack(losses).sum(), watched

    def judge(self, frames: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, float], float]:
        """Recall of high risks at the rate of false alarms, and the calibration error; what to compare is that recall.

        Args:
            frames: of all held-out frames, what `loss` says of each in evaluation.

        Raises:
            TrainConfigError: none of them has a high risk, or all have.
        """
        high, chance = frames["high"], frames["high_chance"]
        if high.all() or not high.any():
            raise TrainConfigError(
                "objective 'risk' needs held-out frames with a high risk and without; collect more episodes."
            )
        recall, _ = alarms(chance, high, alarm_threshold(chance, high, self.false_alarms))
        error = expected_calibration_error(frames[CONFIDENCE], frames["right"])
        return {"high_recall": recall, "calibration_error": error}, recall
