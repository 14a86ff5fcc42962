"""BabyAI's scripted expert; it sees the whole grid, the policy does not."""

from __future__ import annotations

from vla_datasets.worlds.babyai.environment import BabyAI
from vla_datasets.worlds.world import Expert, ExpertError

__all__ = ["expert"]


def expert(world: BabyAI) -> Expert:
    """BabyAIBot for the episode in progress; it follows whatever actions are really done."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    bot = BabyAIBot(world.grid)

    def act() -> int:
        try:
            return int(bot.replan(world.last_action))
        except Exception as error:  # the bot signals a dead end by failing asserts of many kinds
            raise ExpertError(f"BabyAIBot gave up: {error!r}") from error

    return act
