"""Which policy a model or a program is of: a digest of its weights, which `export_onnx` writes into the metadata.

Two policies of one kind take and give tensors of the same names; with the other one's preprocessor and head, what a
program says would be wrong without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from vla_models.errors import PolicyError
from vla_models.saved_files import WEIGHTS_FILE

if TYPE_CHECKING:
    import torch

__all__ = ["POLICY", "entry_of", "id_of", "refuse_another", "saved_id"]

POLICY = "vlac.policy"  # key of the metadata


def id_of(policy: torch.nn.Module) -> str:
    """Of what would be saved of a policy."""
    return _digest((n, w.detach().cpu().contiguous().numpy()) for n, w in policy.state_dict().items())


def saved_id(folder: Path) -> str:
    """Of a saved policy; as `id_of` of the loaded one.

    Raises:
        PolicyError: its weights cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return _digest(load_file(folder / WEIGHTS_FILE).items())
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise PolicyError(f"{folder} is not a saved policy: {error}.") from error


def entry_of(folder: Path, said: Mapping[str, str]) -> str | None:
    """The first entry point that is of a saved policy, of digests by entry point; None where none is.

    Raises:
        PolicyError: the policy cannot be read.
    """
    mine = saved_id(folder) if said else ""
    return next((entry for entry, policy in said.items() if policy == mine), None)


def refuse_another(folder: Path, said: Mapping[str, str], origin: str) -> None:
    """Refuse entry points that are not of a saved policy.

    Args:
        said: digests by entry point.
        origin: whose they are.

    Raises:
        PolicyError: one is of other weights, or the policy cannot be read.
    """
    mine = saved_id(folder) if said else ""
    for entry, policy in said.items():
        if policy != mine:
            raise PolicyError(
                f"{origin}, '{entry}', was made from the weights '{policy}'; those of {folder} are '{mine}'. Give the "
                "policy that it was exported from, or export and compile this one."
            )


def _digest(weights: Iterable[tuple[str, npt.NDArray[Any]]]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(weights, key=lambda pair: pair[0]):
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]
