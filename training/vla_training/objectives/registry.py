"""The list of objectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vla_isa.registry import find_named
from vla_training.errors import TrainConfigError
from vla_training.objectives.act import ActObjective
from vla_training.objectives.ade import AverageDisplacement
from vla_training.objectives.behaviour_cloning import BehaviourCloning
from vla_training.objectives.diffusion import Diffusion
from vla_training.objectives.driving import DrivingImitation
from vla_training.objectives.flow_and_corners import FlowAndCorners
from vla_training.objectives.flow_autoregressive import FlowAutoregressiveObjective
from vla_training.objectives.flow_matching import FlowMatching
from vla_training.objectives.masked_patches import MaskedPatches
from vla_training.objectives.mean_squared_error import MeanSquaredError
from vla_training.objectives.objective import Objective
from vla_training.objectives.rdt import RdtObjective
from vla_training.objectives.risk import Risk
from vla_training.objectives.routed_cloning import RoutedCloning

__all__ = ["OBJECTIVES", "ObjectiveSpec", "find_objective"]


@dataclass(frozen=True)
class ObjectiveSpec:
    """One objective: its name and its dataclass, whose fields are its options."""

    name: str
    make: Callable[..., Objective]


OBJECTIVES: tuple[ObjectiveSpec, ...] = (
    ObjectiveSpec("behaviour_cloning", BehaviourCloning),
    ObjectiveSpec("flow_matching", FlowMatching),
    ObjectiveSpec("flow_and_corners", FlowAndCorners),
    ObjectiveSpec("flow_autoregressive", FlowAutoregressiveObjective),
    ObjectiveSpec("diffusion", Diffusion),
    ObjectiveSpec("act", ActObjective),
    ObjectiveSpec("rdt", RdtObjective),
    ObjectiveSpec("mean_squared_error", MeanSquaredError),
    ObjectiveSpec("routed_cloning", RoutedCloning),
    ObjectiveSpec("driving", DrivingImitation),
    ObjectiveSpec("ade", AverageDisplacement),
    ObjectiveSpec("masked_patches", MaskedPatches),
    ObjectiveSpec("risk", Risk),
)


def find_objective(name: str) -> ObjectiveSpec:
    """The registered objective called `name`.

    Raises:
        TrainConfigError: none is.
    """
    return find_named("objective", name, OBJECTIVES, TrainConfigError)
