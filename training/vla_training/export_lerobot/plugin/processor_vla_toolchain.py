"""The processors of a policy that has none saved: they change no value, our own preprocessor normalizes."""

from __future__ import annotations

from typing import Any

from lerobot.processor import (
    AddBatchDimensionProcessorStep,
    DeviceProcessorStep,
    PolicyProcessorPipeline,
    RenameObservationsProcessorStep,
)
from lerobot.processor.converters import policy_action_to_transition, transition_to_policy_action

from vla_training.export_lerobot.names import POSTPROCESSOR, PREPROCESSOR
from vla_training.export_lerobot.plugin.configuration_vla_toolchain import VlaToolchainConfig

__all__ = ["make_vla_toolchain_pre_post_processors"]


def make_vla_toolchain_pre_post_processors(config: VlaToolchainConfig, dataset_stats: Any = None) -> tuple[Any, Any]:
    """In front of the policy, and behind it.

    Args:
        config: says the device.
        dataset_stats: not used.
    """
    before = [
        RenameObservationsProcessorStep(rename_map={}),
        AddBatchDimensionProcessorStep(),
        DeviceProcessorStep(device=config.device),
    ]
    return (
        PolicyProcessorPipeline(steps=before, name=PREPROCESSOR),
        PolicyProcessorPipeline(
            steps=[DeviceProcessorStep(device="cpu")],
            name=POSTPROCESSOR,
            to_transition=policy_action_to_transition,
            to_output=transition_to_policy_action,
        ),
    )
