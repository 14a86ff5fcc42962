"""Fit to held-out runs what training leaves open: from which chance on a risk is called high, and how sure to be.

The confidence's log-odds are scaled and shifted (Platt 1999), in its head's weights: the graph stays as it is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vla_datasets.lerobot.reader import dataset_digest
from vla_datasets.worlds.rover.names import HIGH
from vla_isa.errors import OutputError
from vla_models.saved import load_config, load_policy, save_whole_policy
from vla_models.sim_v0.names import CONFIDENCE
from vla_training.checkpoint import learnt_from
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.risk import ask
from vla_training.risk_scores import alarm_threshold, expected_calibration_error

__all__ = ["FittedRisk", "fit_risk", "scaled_and_shifted"]

_POLICY = "sim_v0"
_STEPS = 50
_RIDGE = 1e-3  # holds the scale where nothing is ever wrong


@dataclass(frozen=True)
class FittedRisk:
    """What was fitted, and the calibration error on the same frames before and after."""

    frames: int
    high_from: float
    error_before: float
    error_after: float


def fit_risk(source: Path, data: Path, split: str, false_alarms: float, out: Path) -> FittedRisk:
    """Fit a saved policy into a new folder, whole or not at all.

    Args:
        source: folder of the saved policy.
        data: the rover's data set.
        split: whose runs are used; the policy must not have learnt from them.
        false_alarms: the share of what is no high risk that may be called so.
        out: folder to write; it must not exist.

    Raises:
        EvaluationError: the policy is no `sim_v0`, or learnt from these runs, or no frame has a high risk, or all have.
        OutputError: `out` exists, or cannot be written.
    """
    if not 0 < false_alarms < 1:
        raise EvaluationError(f"--false-alarms is {false_alarms}; it must be between 0 and 1.")
    if out.exists():
        raise OutputError(f"output folder '{out}' exists; choose another one")
    spec, config = load_config(source)
    if spec.name != _POLICY:
        raise EvaluationError(f"{source} is a policy '{spec.name}'; '{_POLICY}' is fitted.")
    if split == "train" and learnt_from(source) == dataset_digest(data):
        raise EvaluationError(
            f"{source} learnt from the split 'train' of {data}, where it is surer than it may be; fit it to 'val', or "
            "to runs of another data set."
        )
    said = ask(RunnerSpec("float", source), data, split)
    high = said.right[:, 0] == HIGH
    if high.all() or not high.any():
        raise EvaluationError(f"{int(high.sum())} of {len(high)} frames have a high risk; both kinds are needed.")
    threshold = min(max(alarm_threshold(said.high, high, false_alarms), 0.0), 1.0)
    words = said.words.copy()
    words[:, 0] = np.where(said.high >= threshold, HIGH, said.below)
    right = (words == said.right).all(axis=1)
    if right.all() or not right.any():
        raise EvaluationError(
            f"The policy is right on {int(right.sum())} of {len(right)} frames; both kinds are needed."
        )
    scale, shift = scaled_and_shifted(said.log_odds, right)
    after = 1 / (1 + np.exp(-(scale * said.log_odds + shift)))
    policy = load_policy(source)
    with torch.no_grad():
        head = policy.heads[CONFIDENCE]
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(shift)
    save_whole_policy(out, spec.name, dataclasses.replace(config, high_from=threshold), policy.state_dict())
    before = expected_calibration_error(said.confidence, right)
    return FittedRisk(len(high), threshold, before, expected_calibration_error(after, right))


def scaled_and_shifted(log_odds: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The scale and shift of log-odds (N,) that are likeliest, by Newton's method; the scale is above 0.

    Raises:
        EvaluationError: the surer the policy is, the more often it is wrong.
    """
    columns = np.stack([log_odds, np.ones_like(log_odds)], axis=1)
    found = np.zeros(2)  # from where Newton's steps do not overshoot
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(columns @ found, -30, 30)))
        slope = columns.T @ (chance - right) + _RIDGE * found
        bend = (columns * (chance * (1 - chance))[:, None]).T @ columns + _RIDGE * np.eye(2)
        found = found - np.linalg.solve(bend, slope)
    if not (np.isfinite(found).all() and found[0] > 0):
        raise EvaluationError("The policy is less often right the surer it is; train it for longer.")
    return float(found[0]), float(found[1])
