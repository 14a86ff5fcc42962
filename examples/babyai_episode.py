"""Play one BabyAI episode with a compiled program: all the code that a robot needs beside `prog.bin`.

python examples/babyai_episode.py runs/demo/u50/prog.bin --level GoToObj --seed 7
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import vlarun
from vla_datasets.worlds.babyai.environment import Environment
from vla_datasets.worlds.babyai.schema import ACTION_NAMES
from vla_isa.errors import VlaError
from vla_models.babyai_cnn.preprocess import Preprocessor
from vla_models.keys import ACTION_LOGITS


def main() -> int:
    """Print each action; return 0 if the mission succeeded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--level", default="GoToObj")
    parser.add_argument("--seed", type=int, default=2**30)
    parser.add_argument("--backend", choices=("sim", "rtl"), default="sim")
    arguments = parser.parse_args()

    session = vlarun.Session(arguments.program, backend=arguments.backend)
    environment = Environment(arguments.level)
    image = environment.reset(arguments.seed)
    preprocessor = Preprocessor()
    preprocessor.reset(environment.mission)
    print(environment.mission)
    done, reward = False, 0.0
    while not done:
        logits = session.run(preprocessor.inputs(image))[ACTION_LOGITS]
        action = int(np.argmax(logits))
        print(f"  {ACTION_NAMES[action]:8} {session.stats['cycles']} cycles")
        preprocessor.acted(action)
        image, reward, done = environment.step(action)
    print("success" if reward > 0 else "failure")
    return 0 if reward > 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VlaError as error:  # says what is wrong with a file, and what to do
        sys.exit(f"error: {error}")
