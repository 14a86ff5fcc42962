"""Low-rank adapters in the frozen tower (LoRA, Hu et al. 2021, arXiv 2106.09685), by `peft`; merged for the device.

An adapter adds scale * B A to a layer's weight; it begins at zero, as B does. Merged, the graph is that of the tower.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from vla_models.errors import PolicyError

if TYPE_CHECKING:
    from vla_models.siglip.vision import SiglipVision
    from vla_models.vlm_waypoint.config import VlmWaypointConfig

__all__ = ["ADAPTER", "add_adapters", "merged", "train_adapters"]

ADAPTER = ".lora_"  # in the names of adapters' weights, and of no others


def add_adapters(tower: SiglipVision, config: VlmWaypointConfig) -> None:
    """Put adapters, which alone have gradients, into the chosen layers of a tower.

    Raises:
        PolicyError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise PolicyError(
            f"vlm_waypoint: 'lora_rank' needs the package '{error.name}', which is not installed; "
            "pip install 'vla-toolchain[train,lora]'"
        ) from error
    layers = range(config.tower_layers)
    chosen = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets),
        layers_to_transform=list(layers[-config.lora_layers :]),
        layers_pattern="layers",
    )
    inject_adapter_in_model(chosen, tower)


def train_adapters(tower: SiglipVision, mode: bool) -> None:
    """Whether their dropout drops; the rest of the tower stays as it is."""
    for layer in _adapted(tower).values():
        layer.lora_dropout.train(mode)


def merged(tower: SiglipVision) -> SiglipVision:
    """A copy without adapters, whose weights have what they add."""
    found = copy.deepcopy(tower)
    for name, layer in _adapted(found).items():
        layer.merge()
        above, _, last = name.rpartition(".")
        setattr(found.get_submodule(above), last, layer.get_base_layer())
    return found


def _adapted(tower: SiglipVision) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: layer for name, layer in tower.named_modules() if isinstance(layer, LoraLayer)}
