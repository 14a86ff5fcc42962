"""Collect demonstrations of any world in parallel, resumably, with bytes that do not depend on the workers.

Episodes are cut into blocks of `EPISODES_PER_BLOCK` (fewer for slow worlds); one block is one task and one data
file. A finished block lies in `OUT/.staging/`; a second run skips it. When all blocks are there, they become a
LeRobot v3 data set and the staging folder goes. With `shard = (i, n)` only every n-th block is collected and the set
is not finished: run all shards, then once more without a shard.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vla_datasets.blocks import read_block, write_block
from vla_datasets.demonstrate import demonstrate
from vla_datasets.engine import ALONE, Engine
from vla_datasets.errors import CollectError
from vla_datasets.files import write_json
from vla_datasets.lerobot.format import INFO_PATH
from vla_datasets.lerobot.writer import write_dataset
from vla_datasets.splits import check_fraction, hold_out
from vla_datasets.worlds.registry import find_world
from vla_isa.documents import read_json

__all__ = ["EPISODES_PER_BLOCK", "CollectOptions", "collect"]

EPISODES_PER_BLOCK = 100
_LONG_BLOCK = 10  # where an episode takes seconds


@dataclass(frozen=True)
class CollectOptions:
    """What to collect. Equal options give equal bytes; they are stored in info.json under `collection`."""

    world: str
    level: str
    episodes: int
    seed: int = 0
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.episodes <= 10_000_000:
            raise CollectError(f"--episodes is {self.episodes}; it must be between 2 and 10,000,000.")
        if self.seed < 0:
            raise CollectError(f"--seed is {self.seed}; it must not be negative.")
        check_fraction(self.validation_fraction)

    def splits(self) -> dict[str, tuple[int, int]]:
        """Episode ranges. The last ones are held out: independent draws, of routes of their own where the world
        has such."""
        return hold_out(self.episodes, self.validation_fraction)


def collect(
    options: CollectOptions,
    out: Path,
    engine: Engine = ALONE,
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[int], None] = lambda episodes: None,
) -> bool:
    """Collect what is missing; return True if the data set at `out` is now complete.

    Args:
        options: what to collect.
        out: folder of the data set; made if missing, resumed if it holds the same collection.
        engine: where the blocks are played; a world that cannot be shared is played here.
        shard: (i, n) collects blocks i, i + n, ... only.
        progress: called with the number of episodes just finished (or found finished).
    """
    world = find_world(options.world)
    world.make(options.level).close()  # refuse an unknown level before anything is written
    schema = world.frame(options.level)
    if (out / INFO_PATH).exists():
        _check_same(options, out / INFO_PATH, "collection")
        progress(options.episodes)
        return True
    engine.check()
    if world.single:
        engine = ALONE
    staging = out / ".staging"
    _claim(options, staging)
    blocks = range(-(-options.episodes // _block_size(options)))
    mine = blocks[shard[0] :: shard[1]]
    missing = [block for block in mine if not _block_path(staging, block).exists()]
    progress(sum(len(_episodes_of(options, block)) for block in mine if block not in set(missing)))
    for number, _ in engine.run(
        _collect_block, [(options, staging, block, _episodes_of(options, block)) for block in missing]
    ):
        progress(len(_episodes_of(options, missing[number])))
    if shard != (0, 1):
        return False
    write_dataset(
        out,
        blocks=(
            read_block(_block_path(staging, block), schema.features, len(_episodes_of(options, block)))
            for block in blocks
        ),
        features=schema.features,
        fps=schema.fps,
        robot_type=options.world,
        splits=options.splits(),
        collection=asdict(options),
    )
    shutil.rmtree(staging)
    return True


def _claim(options: CollectOptions, staging: Path) -> None:
    """Mark `staging` as belonging to `options`, or refuse if it belongs to another collection."""
    marker = staging / "collect.json"
    if marker.exists():
        _check_same(options, marker, None)
    else:
        write_json(marker, asdict(options))


def _check_same(options: CollectOptions, path: Path, key: str | None) -> None:
    try:
        found = read_json(path)
        found = found[key] if key else found
    except (ValueError, KeyError, TypeError) as error:
        raise CollectError(f"{path} is damaged ({error}); delete it or choose another --out.") from error
    if found != asdict(options):
        raise CollectError(
            f"{path.parent.parent} already holds another collection ({found}), not {asdict(options)}; "
            "choose another --out."
        )


def _block_size(options: CollectOptions) -> int:
    """Episodes of a block: as much is played again after an interruption, so fewer where they are slow."""
    return min(_LONG_BLOCK, EPISODES_PER_BLOCK) if find_world(options.world).long else EPISODES_PER_BLOCK


def _episodes_of(options: CollectOptions, block: int) -> range:
    size = _block_size(options)
    return range(block * size, min((block + 1) * size, options.episodes))


def _block_path(staging: Path, block: int) -> Path:
    return staging / f"block-{block:05d}.parquet"


def _collect_block(options: CollectOptions, staging: Path, block: int, episodes: range) -> None:
    """Play and store the episodes of one block; runs in a worker."""
    spec = find_world(options.world)
    held_out = range(*options.splits()["val"])
    with contextlib.closing(spec.make(options.level)) as world:
        played = [demonstrate(spec, world, options.seed, n, "val" if n in held_out else "train") for n in episodes]
    write_block(_block_path(staging, block), played, spec.frame(options.level).features)
