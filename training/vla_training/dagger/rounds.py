"""Rounds of playing, labelling and learning; each step is stored, and the same command goes on from it.

    OUT/dagger.json           what was asked: options, training config, digests of the demonstrations and the policy
    OUT/round-0/              the run that learns from the demonstrations, where no policy was given
    OUT/round-1/data/         the data of before and what was played in this round
               /run/          the run that goes on from the policy of before, on that data
               /round.json    what the round added

Not here: episodes (`rollouts.py`), data sets (`aggregate.py`), training (`vla_training.loop`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.engine import ALONE, Engine
from vla_datasets.files import write_json
from vla_datasets.lerobot.format import INFO_PATH
from vla_datasets.lerobot.reader import dataset_digest
from vla_datasets.worlds.registry import find_world
from vla_isa.documents import read_json
from vla_isa.files import alone, make_folder
from vla_models.saved import WEIGHTS_FILE
from vla_training.checkpoint import differences, pretrained_folder
from vla_training.config.run import TrainConfig
from vla_training.dagger.aggregate import aggregate, check_base
from vla_training.dagger.rollouts import Rollouts, roll_out
from vla_training.errors import TrainConfigError
from vla_training.first_policy import first_policy
from vla_training.loop import check_data, train

__all__ = ["DaggerOptions", "dagger"]

Config = TrainConfig[Any, Any]
Progress = Callable[[int, str], None]  # the round, and what is done in it


@dataclass(frozen=True)
class DaggerOptions:
    """How much is played. In round k the expert acts with probability `beta` to the power of k."""

    rounds: int = 3
    episodes: int = 1000  # of a round
    beta: float = 0.5
    most_steps: int = 16  # of an episode

    def __post_init__(self) -> None:
        for name, most in (("rounds", 1000), ("episodes", 10_000_000), ("most_steps", 1_000_000)):
            if not 1 <= getattr(self, name) <= most:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be from 1 to {most:,}.")
        if not (math.isfinite(self.beta) and 0 <= self.beta <= 1):
            raise TrainConfigError(f"'beta' is {self.beta}; it must be from 0 to 1.")


def dagger(
    config: Config,
    data: Path,
    out: Path,
    options: DaggerOptions,
    policy: Path | None = None,
    engine: Engine = ALONE,
    progress: Progress = lambda number, doing: None,
) -> Path:
    """Run (or go on with) all rounds; return the folder of the last saved policy.

    More rounds than before go on behind those that are done.

    Args:
        config: of each round's training; `init_from` is for the first one.
        data: demonstrations with the splits `train` and `val`.
        out: folder of everything that is made.
        options: how much is played.
        policy: run or saved policy that plays first; None trains one from the demonstrations.
        engine: where episodes are played.
        progress: called with the number of the round and what is done in it.

    Raises:
        TrainConfigError: `out` holds rounds of other options, or what training says.
        CheckpointError, DatasetError, CollectError: see their messages.
        OutputError: another process works in `out`.
    """
    make_folder(out)
    with alone(out, "runs its rounds"):
        given = pretrained_folder(policy) if policy is not None else None
        _check(config, data, given)
        _claim(config, data, out, options, given)
        last = _train(config, data, out / "round-0", progress, 0) if given is None else given
        for number in range(1, options.rounds + 1):
            folder = out / f"round-{number}"
            beta = options.beta**number
            rollouts = Rollouts(
                config.world,
                config.level,
                last,
                config.collect_seed,
                number,
                options.episodes,
                beta,
                options.most_steps,
            )
            data = _play(rollouts, data, folder, engine, progress)
            going_on = dataclasses.replace(config, init_from=str(last.resolve()))
            last = _train(going_on, data, folder / "run", progress, number)
    return last


def _check(config: Config, data: Path, policy: Path | None) -> None:
    """Refuse at once what a round would be played for in vain.

    Raises:
        CollectError: no such level.
        DatasetError, TrainConfigError: the data is not the world's or of another level; the policy is another one.
    """
    spec = find_world(config.world)
    spec.make(config.level).close()
    check_data(config, data)
    check_base(data, spec, config.level)
    first_policy(dataclasses.replace(config, init_from=str(policy)) if policy is not None else config, data)


def _claim(config: Config, data: Path, out: Path, options: DaggerOptions, policy: Path | None) -> None:
    """Store what was asked, or refuse if `out` holds something else; how many rounds it is does not matter."""
    played = {name: value for name, value in dataclasses.asdict(options).items() if name != "rounds"}
    asked: Mapping[str, Any] = {
        "options": played,
        "train": config.to_json(),
        "policy": hashlib.sha256((policy / WEIGHTS_FILE).read_bytes()).hexdigest() if policy is not None else "",
        "data": dataset_digest(data),
    }
    asked = json.loads(json.dumps(asked))
    path = out / "dagger.json"
    if not path.exists():
        write_json(path, asked)
        return
    try:
        stored = read_json(path)
        if not (isinstance(stored, dict) and stored.keys() == asked.keys()):
            raise ValueError(f"it is no table of {', '.join(asked)}")
    except ValueError as error:
        raise TrainConfigError(f"{path} is damaged ({error}); choose another --out.") from error
    if changed := differences(stored, asked):
        raise TrainConfigError(
            f"{out} holds rounds of another kind: {'; '.join(changed)}. Ask for the same, or choose another --out."
        )


def _play(rollouts: Rollouts, data: Path, folder: Path, engine: Engine, progress: Progress) -> Path:
    """The data set of a round."""
    made, staging = folder / "data", folder / ".staging"
    if not (folder / "round.json").exists():
        count = 0

        def advance(episodes: int) -> None:
            nonlocal count
            count += episodes
            progress(rollouts.number, f"{count} of {rollouts.episodes} episodes")

        blocks = roll_out(rollouts, staging, engine, advance)
        (made / INFO_PATH).unlink(missing_ok=True)  # of one that was cut short behind it
        added = aggregate(data, blocks, rollouts, made)
        write_json(folder / "round.json", {**dataclasses.asdict(added), "beta": rollouts.beta})
    shutil.rmtree(staging, ignore_errors=True)
    return made


def _train(config: Config, data: Path, folder: Path, progress: Progress, number: int) -> Path:
    make_folder(folder.parent)

    def show(step: int, values: Mapping[str, float]) -> None:
        progress(number, f"step {step} of {config.steps}")

    return train(config, data, folder, progress=show)
