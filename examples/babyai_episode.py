"""Play one BabyAI episode with a compiled program: all the code that a robot needs beside `prog.bin`.

python examples/babyai_episode.py runs/demo/u50/prog.bin --level GoToObj --seed 7
"""

from __future__ import annotations

import argparse
import sys

import vlarun
from vla_datasets.keys import TASK
from vla_datasets.worlds.babyai.environment import BabyAI
from vla_datasets.worlds.babyai.schema import ACTION_NAMES
from vla_isa.errors import VlaError
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor


def main() -> int:
    """Print each action; return 0 if the mission succeeded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--level", default="GoToObj")
    parser.add_argument("--seed", type=int, default=2**30)
    parser.add_argument("--backend", choices=("sim", "rtl"), default="sim")
    arguments = parser.parse_args()

    session = vlarun.Session(arguments.program, backend=arguments.backend)
    world = BabyAI(arguments.level)
    observation, _ = world.reset(seed=arguments.seed)
    preprocessor = BabyAIPreprocessor()
    preprocessor.reset(observation[TASK])
    print(observation[TASK])
    ended, info = False, {"success": False}
    while not ended:
        outputs = session.run(preprocessor.inputs(observation))
        for action in preprocessor.actions(outputs):
            print(f"  {ACTION_NAMES[action]:8} {session.stats['cycles']} cycles")
            observation, _, terminated, truncated, info = world.step(action)
            ended = terminated or truncated
    print("success" if info["success"] else "failure")
    return 0 if info["success"] else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VlaError as error:  # says what is wrong with a file, and what to do
        sys.exit(f"error: {error}")
