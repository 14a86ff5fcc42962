"""Names and numbers of LeRobot's weights as ours: prefixes change, and batch norms go into their convolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch

from vla_models.errors import PolicyError

__all__ = ["fold_batch_norms", "renamed_weights"]

_EPS = 1e-5  # of torchvision's batch norms, frozen or not
_BEHIND = (("bn1", "conv1"), ("bn2", "conv2"), ("downsample.1", "downsample.0"))  # a norm, and its convolution


def renamed_weights(
    weights: Mapping[str, torch.Tensor], names: Sequence[tuple[str, str]], dropped: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Weights in float32 under our names.

    Args:
        weights: LeRobot's.
        names: patterns of whole beginnings of names, and what comes in their place; the first that matches counts.
        dropped: patterns of beginnings of what is not needed to act.

    Raises:
        PolicyError: a name that matches nothing.
    """
    found = {}
    for name, tensor in weights.items():
        if any(re.match(pattern, name) for pattern in dropped):
            continue
        new = next((re.sub(f"^(?:{p})", to, name) for p, to in names if re.match(p, name)), None)
        if new is None:
            raise PolicyError(f"the weight '{name[:100]}' is of no part that is known; another version of the policy?")
        found[new] = tensor.float()
    return found


def fold_batch_norms(weights: Mapping[str, torch.Tensor], trunk: str) -> dict[str, torch.Tensor]:
    """Weights of a ResNet with batch norms, as they are when a policy acts, as those of one without.

    Args:
        weights: by name; those of other parts are left alone.
        trunk: the beginning of its names.

    Raises:
        PolicyError: a part of a norm is missing, or of another size.
    """
    found = {name: tensor for name, tensor in weights.items() if not name.startswith(trunk)}
    inside = {name: tensor for name, tensor in weights.items() if name.startswith(trunk)}
    for name in [name for name in inside if name.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        conv = next((norm.removesuffix(end) + to for end, to in _BEHIND if norm.endswith(end)), "")
        try:
            gain, shift, mean, variance = (
                inside.pop(f"{norm}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / torch.sqrt(variance + _EPS)
            weight = inside.pop(f"{conv}.weight").double()
            found[f"{conv}.weight"] = (weight * scale[:, None, None, None]).float()
            found[f"{conv}.bias"] = (shift - mean * scale).float()
        except (KeyError, RuntimeError, IndexError) as error:
            raise PolicyError(f"the norm '{norm[:100]}' cannot be joined with its convolution: {error}.") from error
    return found | {name: tensor for name, tensor in inside.items() if not name.endswith(".num_batches_tracked")}
