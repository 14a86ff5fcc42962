"""Set the weakest blocks of a policy's convolutions, 16 x 16 channels, to zero: `vlac` leaves them out of a program.

What the group lasso of the objective `driving` (`lasso_blocks`, `lasso_tiles`) has made small goes without harm; how
much, the closed loop says. Not here: training on without these blocks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vla_isa.errors import OutputError
from vla_models.saved import load_config, load_policy, save_policy
from vla_training.errors import EvaluationError
from vla_training.objectives.group_lasso import GROUP, block_norms

__all__ = ["Pruned", "prune", "prune_blocks"]


@dataclass(frozen=True)
class Pruned:
    """Blocks of one convolution, and how many of them are zero now."""

    name: str
    blocks: int
    zero: int


def prune(source: Path, out: Path, share: float) -> list[Pruned]:
    """Prune a saved policy into a new folder, whole or not at all.

    Args:
        source: folder of the saved policy.
        out: folder to write; it must not exist.
        share: of all blocks of the convolutions that become zero, from 0 to below 1.

    Raises:
        EvaluationError: `share` is out of range, or the policy has no convolution.
        OutputError: `out` exists, or cannot be written.
        PolicyError: there is no policy.
    """
    if not 0 <= share < 1:
        raise EvaluationError(f"--share is {share}; it must be from 0 to below 1.")
    if out.exists():
        raise OutputError(f"output folder '{out}' exists; choose another one")
    policy = load_policy(source)
    found = prune_blocks(policy, share)
    spec, config = load_config(source)
    _write(out, spec.name, config, policy.state_dict())
    return found


def prune_blocks(policy: nn.Module, share: float) -> list[Pruned]:
    """Set the share of blocks with the smallest root mean square to zero, over all convolutions together.

    The strongest block of each convolution stays.

    Raises:
        EvaluationError: the policy has no convolution.
    """
    convs = {name: m for name, m in policy.named_modules() if isinstance(m, nn.Conv2d) and m.groups == 1}
    if not convs:
        raise EvaluationError("the policy has no convolution to prune.")
    with torch.no_grad():
        strengths = {name: block_norms(m.weight) / _counts(m.weight).sqrt() for name, m in convs.items()}
        every = torch.cat([s.flatten() for s in strengths.values()]).sort().values
        count = int(share * len(every))
        least = every[count] if count else torch.zeros(())
        found = []
        for name, module in convs.items():
            strength = strengths[name]
            live = (strength >= least) | (strength == strength.max())
            module.weight.mul_(_spread(live, module.weight))
            found.append(Pruned(name, live.numel(), int((~live).sum())))
    return found


def _counts(weight: torch.Tensor) -> torch.Tensor:
    """Weights in each block; those at the end may have fewer channels."""
    return block_norms(torch.ones_like(weight)).square()


def _spread(live: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Blocks (O/16, I/16) as weights (O, I, 1, 1)."""
    outs, ins = weight.shape[:2]
    channels = live.repeat_interleave(GROUP, 0).repeat_interleave(GROUP, 1)[:outs, :ins]
    return channels[:, :, None, None].to(weight.dtype)


def _write(out: Path, name: str, config: Any, weights: Mapping[str, torch.Tensor]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=out.parent))
        try:
            save_policy(temporary, name, config, weights)
            temporary.chmod(0o755)
            os.rename(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"output folder '{out}' cannot be written: {error.strerror}") from error
