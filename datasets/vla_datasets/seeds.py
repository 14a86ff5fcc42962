"""Which seeds demonstrations, evaluation and validation use.

No evaluated episode was ever demonstrated, and none of them chose a checkpoint.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FIRST_EVALUATION_SEED", "FIRST_VALIDATION_SEED", "episode_seed", "rollout_seed"]

FIRST_EVALUATION_SEED = 2**30  # evaluation uses this seed and the following ones
FIRST_VALIDATION_SEED = 2**30 + 2**29  # so do episodes played while a policy is trained


def episode_seed(base: int, episode: int, attempt: int = 0) -> int:
    """World seed of one demonstration: depends only on its arguments, never on workers or order.

    Always below `FIRST_EVALUATION_SEED`.
    """
    return int(np.random.SeedSequence([base, episode, attempt]).generate_state(1)[0]) % FIRST_EVALUATION_SEED


def rollout_seed(base: int, number: int, episode: int) -> int:
    """World seed of an episode that a learner plays in round `number` (from 1) and the expert labels.

    Always below `FIRST_EVALUATION_SEED`, and drawn otherwise than those of demonstrations.
    """
    return int(np.random.SeedSequence([base, episode, 0, number]).generate_state(1)[0]) % FIRST_EVALUATION_SEED
