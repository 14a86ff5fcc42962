"""Collect BabyAI demonstrations in parallel, resumably, with bytes that do not depend on the workers.

Episodes are cut into blocks of `EPISODES_PER_BLOCK`; one block is one task and one data file. A finished
block lies in `OUT/.staging/`; a second run skips it. When all blocks are there, they become a LeRobot v3
data set and the staging folder goes. With `shard = (i, n)` only every n-th block is collected and the set
is not finished: run all shards, then once more without a shard.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vla_datasets.errors import CollectError
from vla_datasets.files import write_json, write_table
from vla_datasets.lerobot.format import INFO_PATH
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.worlds.babyai.environment import Environment
from vla_datasets.worlds.babyai.expert import collect_demonstration
from vla_datasets.worlds.babyai.schema import ACTION, DONE, FEATURES, FPS, IMAGE, REWARD
from vla_isa.worker_pool import WorkerPool

__all__ = ["EPISODES_PER_BLOCK", "CollectOptions", "collect"]

EPISODES_PER_BLOCK = 100


@dataclass(frozen=True)
class CollectOptions:
    """What to collect. Equal options give equal bytes; they are stored in info.json under `collection`."""

    level: str
    episodes: int
    seed: int = 0
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.episodes <= 10_000_000:
            raise CollectError(f"--episodes is {self.episodes}; it must be between 2 and 10,000,000.")
        if self.seed < 0:
            raise CollectError(f"--seed is {self.seed}; it must not be negative.")
        if not 0.0 < self.validation_fraction < 1.0:
            raise CollectError(f"--validation-fraction is {self.validation_fraction}; it must be above 0 and below 1.")

    def splits(self) -> dict[str, tuple[int, int]]:
        """Episode ranges; episodes are independent draws, so the last ones serve as held-out set."""
        held_out = min(self.episodes - 1, max(1, round(self.episodes * self.validation_fraction)))
        return {"train": (0, self.episodes - held_out), "val": (self.episodes - held_out, self.episodes)}


def collect(
    options: CollectOptions,
    out: Path,
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[int], None] = lambda episodes: None,
) -> bool:
    """Collect what is missing; return True if the data set at `out` is now complete.

    Args:
        options: what to collect.
        out: folder of the data set; made if missing, resumed if it holds the same collection.
        workers: processes.
        shard: (i, n) collects blocks i, i + n, ... only.
        progress: called with the number of episodes just finished (or found finished).
    """
    Environment(options.level).close()  # refuse an unknown level before anything is written
    if (out / INFO_PATH).exists():
        _check_same(options, out / INFO_PATH, "collection")
        progress(options.episodes)
        return True
    staging = out / ".staging"
    _claim(options, staging)
    blocks = range((options.episodes + EPISODES_PER_BLOCK - 1) // EPISODES_PER_BLOCK)
    mine = blocks[shard[0] :: shard[1]]
    missing = [block for block in mine if not _block_path(staging, block).exists()]
    progress(sum(len(_episodes_of(options, block)) for block in mine if block not in set(missing)))
    for block in _run_blocks(options, staging, missing, workers):
        progress(len(_episodes_of(options, block)))
    if shard != (0, 1):
        return False
    write_dataset(
        out,
        blocks=(_read_block(_block_path(staging, block)) for block in blocks),
        features=FEATURES,
        fps=FPS,
        robot_type="babyai",
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
        found = json.loads(path.read_text(encoding="utf-8"))
        found = found[key] if key else found
    except (ValueError, KeyError, TypeError) as error:
        raise CollectError(f"{path} is damaged ({error}); delete it or choose another --out.") from error
    if found != asdict(options):
        raise CollectError(
            f"{path.parent.parent} already holds another collection ({found}), not {asdict(options)}; "
            "choose another --out."
        )


def _run_blocks(options: CollectOptions, staging: Path, blocks: Sequence[int], workers: int) -> Iterator[int]:
    """Yield block numbers as they are finished."""
    if workers <= 1 or len(blocks) <= 1:
        for block in blocks:
            yield _collect_block(options, staging, block)
        return
    with WorkerPool(min(workers, len(blocks))) as pool:
        futures = [pool.submit(_collect_block, options, staging, block) for block in blocks]
        for future in as_completed(futures):
            yield future.result()


def _episodes_of(options: CollectOptions, block: int) -> range:
    return range(block * EPISODES_PER_BLOCK, min((block + 1) * EPISODES_PER_BLOCK, options.episodes))


def _block_path(staging: Path, block: int) -> Path:
    return staging / f"block-{block:05d}.parquet"


_BLOCK_SCHEMA = pa.schema(
    [
        ("seed", pa.int64()),
        ("mission", pa.string()),
        ("images", pa.list_(pa.binary())),
        ("actions", pa.list_(pa.int64())),
        ("rewards", pa.list_(pa.float32())),
    ]
)


def _collect_block(options: CollectOptions, staging: Path, block: int) -> int:
    """Play and store the episodes of one block (one row per episode); runs in a worker process."""
    environment = Environment(options.level)
    rows = [
        asdict(collect_demonstration(environment, options.seed, episode)) for episode in _episodes_of(options, block)
    ]
    environment.close()
    write_table(_block_path(staging, block), pa.Table.from_pylist(rows, schema=_BLOCK_SCHEMA))
    return block


def _read_block(path: Path) -> list[Episode]:
    episodes = []
    for row in pq.read_table(path, schema=_BLOCK_SCHEMA).to_pylist():
        steps = len(row["actions"])
        columns = {
            IMAGE: row["images"],
            ACTION: row["actions"],
            REWARD: row["rewards"],
            DONE: [False] * (steps - 1) + [True],
        }
        episodes.append(Episode(seed=row["seed"], task=row["mission"], columns=columns))
    return episodes
