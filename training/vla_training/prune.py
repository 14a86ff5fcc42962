"""Set the weakest blocks of a policy's convolutions, 16 x 16 channels, to zero: `vlac` leaves them out of a program.

What the group lasso of the objective `driving` (`lasso_blocks`, `lasso_tiles`) has made small goes without harm; how
much, the closed loop says. A run that starts from a pruned policy trains on without these blocks (`keep_pruned`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn

from vla_isa.errors import OutputError
from vla_models.saved import load_config, load_policy, save_whole_policy
from vla_training.errors import EvaluationError
from vla_training.objectives.group_lasso import GROUP, block_norms, conv_weight, live_blocks

__all__ = ["Pruned", "keep_pruned", "prune", "prune_blocks"]


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
    save_whole_policy(out, spec.name, config, policy.state_dict())
    return found


def prune_blocks(policy: nn.Module, share: float) -> list[Pruned]:
    """Set the share of blocks with the smallest root mean square to zero, over all convolutions together.

    The strongest block of each convolution stays, and so does what is as strong as the weakest that stays. A block of a
    convolution with experts is one in all of them.

    Raises:
        EvaluationError: the policy has no convolution.
    """
    convs = {name: (m, w) for name, m in policy.named_modules() if (w := conv_weight(m)) is not None}
    if not convs:
        raise EvaluationError("the policy has no convolution to prune.")
    with torch.no_grad():
        strengths = {name: block_norms(w) / _counts(w).sqrt() for name, (_, w) in convs.items()}
        every = torch.cat([s.flatten() for s in strengths.values()]).sort().values
        count = int(Fraction(str(share)) * len(every))  # 0.29 of 100 is 29
        least = every[count] if count else torch.zeros(())
        found = []
        for name, (module, weight) in convs.items():
            strength = strengths[name]
            live = (strength >= least) | (strength == strength.max())
            module.weight.mul_(_spread(live, weight))
            live = live_blocks(weight * _spread(live, weight))  # some may have been zero before
            found.append(Pruned(name, live.numel(), int((~live).sum())))
    return found


def keep_pruned(policy: nn.Module) -> None:
    """Let blocks that are zero now stay zero in training: they get no gradient, and so move by no rule of AdamW's.

    A convolution that is zero as a whole was not pruned, and learns.
    """
    for parameter in policy.parameters():
        if parameter.ndim in (4, 5):  # of a convolution, or of one with experts
            weight = parameter.detach()
            weight = weight if weight.ndim == 4 else weight.movedim(0, 2).flatten(2, 3)
            live = live_blocks(weight)
            if live.any() and not live.all():
                parameter.register_hook(functools.partial(_without, _spread(live, weight) == 0))


def _without(dead: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return gradient.masked_fill(dead, 0.0)


def _counts(weight: torch.Tensor) -> torch.Tensor:
    """Weights in each block; those at the end may have fewer channels."""
    return block_norms(torch.ones_like(weight)).square()


def _spread(live: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Blocks (O/16, I/16) as weights (O, I, 1, 1), 1 or 0."""
    outs, ins = weight.shape[:2]
    channels = live.repeat_interleave(GROUP, 0).repeat_interleave(GROUP, 1)[:outs, :ins]
    return channels[:, :, None, None].to(weight.dtype)
