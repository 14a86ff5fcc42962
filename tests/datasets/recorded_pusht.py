"""What people recorded of Push-T, in the layouts of others, made from numbers; and those numbers.

The layouts are those that LeRobot's own writer (huggingface/lerobot at v2.1 and v3.0, and its converter between them)
and Diffusion Policy's replay buffer have.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vla_datasets.import_.write import import_recording
from vla_datasets.keys import ACTION, DONE, STATE
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS

LENGTHS = (4, 7, 5)
TASK = "Push the T-shaped block onto the T-shaped target."
DATA = {"v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"}
DATA |= {"v2.0": DATA["v2.1"], "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}
VIDEO = {"v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"}
VIDEO |= {"v2.0": VIDEO["v2.1"], "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
CHUNK = 2  # episodes of a v2 folder, files of a v3 one


@dataclass
class Truth:
    """Frames of all episodes, one after the other."""

    state: np.ndarray
    pose: np.ndarray
    keypoints: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    images: np.ndarray
    episode: np.ndarray

    def of(self, number: int) -> slice:
        rows = np.flatnonzero(self.episode == number)
        return slice(int(rows[0]), int(rows[-1]) + 1)


def truth(lengths: Sequence[int] = LENGTHS) -> Truth:
    """Places that move a little from frame to frame, and pictures of which none is like another."""
    rng, frames = np.random.default_rng(5), sum(lengths)
    pose = np.column_stack([rng.uniform(150, 350, (frames, 2)), rng.uniform(-7, 7, frames)]).astype(np.float32)
    pose[-1] = (256, 256, np.pi / 4)
    images = np.zeros((frames, 96, 96, 3), np.uint8)
    for number, image in enumerate(images):
        image[:] = (10 + 13 * number) % 256
        image[8:48, 8 + 4 * number : 24 + 4 * number] = (200, 30, 90)
    return Truth(
        rng.uniform(20, 490, (frames, 2)).astype(np.float32),
        pose,
        block_corners(pose.astype(np.float64)),
        rng.uniform(0, 512, (frames, 2)).astype(np.float32),
        rng.uniform(0, 1, frames).astype(np.float32),
        images,
        np.repeat(np.arange(len(lengths)), lengths),
    )


def block_corners(pose: np.ndarray) -> np.ndarray:
    """The drawing of `get_keypoints` in gym-pusht: bar 120 x 30, stem 30 x 90, from the middle of the bar's edge."""
    bar, stem = [-60 + 0j, 60 + 0j, 60 + 30j, -60 + 30j], [-15 + 30j, 15 + 30j, 15 + 120j, -15 + 120j]
    turned = np.array(bar + stem) * np.exp(1j * pose[:, 2:]) + (pose[:, :1] + 1j * pose[:, 1:2])
    return np.stack([turned.real, turned.imag], axis=-1).reshape(-1, 16).astype(np.float32)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def write_lerobot(
    root: Path, numbers: Truth, version: str, pictures: str = "", keypoints: bool = True, plain_lists: bool = False
) -> None:
    """A set as LeRobot's `create`, `add_frame` and `save_episode` leave it; `plain_lists` as its converter does."""
    key = "observation.image"
    features = _features(keypoints, pictures)
    episodes = int(numbers.episode[-1]) + 1
    columns = _columns(numbers, keypoints, plain_lists)
    if pictures == "image":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns[key] = pa.array([{"bytes": png(image), "path": f"frame-{n:06d}.png"} for n, image in
                                 enumerate(numbers.images)], kind)  # fmt: skip
    table = pa.table(columns)
    rows, tables, films = [], {}, {}
    for number in range(episodes):
        part = numbers.of(number)
        file = {"chunk_index": number // CHUNK, "file_index": 0}
        place = {"episode_chunk": number // CHUNK, "episode_index": number, **file}
        path, film = (root / t[version].format(**place, video_key=key) for t in (DATA, VIDEO))
        tables.setdefault(path, []).append(table.slice(part.start, part.stop - part.start))
        before = sum(len(images) for images in films.get(film, []))
        films.setdefault(film, []).append(numbers.images[part])
        rows.append(_episode(number, part, file, key if pictures == "video" else "", before / 10))
    for path, parts in tables.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(parts), path, compression="snappy")
    if pictures == "video":
        for path, parts in films.items():
            write_film(path, np.concatenate(parts))
    _write_meta(root, version, features, rows, len(numbers.state), pictures)


def _features(keypoints: bool, pictures: str) -> dict[str, Any]:
    two = {"dtype": "float32", "shape": [2], "names": {"motors": ["motor_0", "motor_1"]}}
    features: dict[str, Any] = {"observation.state": two, "action": two}
    if keypoints:
        features["observation.environment_state"] = {"dtype": "float32", "shape": [16], "names": ["keypoints"]}
    if pictures:
        names = ["height", "width", "channel"]
        features["observation.image"] = {"dtype": pictures, "shape": [96, 96, 3], "names": names}
    scalars = {"next.reward": "float32", "next.done": "bool", "next.success": "bool", "timestamp": "float32"}
    scalars |= dict.fromkeys(BOOKKEEPING[1:], "int64")
    return features | {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in scalars.items()}


def _columns(numbers: Truth, keypoints: bool, plain_lists: bool) -> dict[str, Any]:
    def vectors(array: np.ndarray) -> pa.Array:
        kind = pa.list_(pa.float32()) if plain_lists else pa.list_(pa.float32(), array.shape[1])
        return pa.array(array.tolist(), kind)

    lengths = np.bincount(numbers.episode)
    frame = np.concatenate([np.arange(length) for length in lengths])
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    columns = {"observation.state": vectors(numbers.state), "action": vectors(numbers.action)}
    if keypoints:
        columns["observation.environment_state"] = vectors(numbers.keypoints)
    return columns | {
        "next.reward": pa.array(numbers.reward),
        "next.done": pa.array(last),
        "next.success": pa.array(last),
        "timestamp": pa.array((frame / 10).astype(np.float32)),
        "frame_index": pa.array(frame),
        "episode_index": pa.array(numbers.episode),
        "index": pa.array(np.arange(len(frame))),
        "task_index": pa.array(np.zeros(len(frame), np.int64)),
    }


def _episode(number: int, part: slice, file: dict[str, int], video: str, begins: float) -> dict[str, Any]:
    length = part.stop - part.start
    row: dict[str, Any] = {"episode_index": number, "tasks": [TASK], "length": length}
    row |= {f"data/{name}": value for name, value in file.items()}
    row |= {"dataset_from_index": part.start, "dataset_to_index": part.stop}
    if video:
        row |= {f"videos/{video}/{name}": value for name, value in file.items()}
        row |= {f"videos/{video}/from_timestamp": begins, f"videos/{video}/to_timestamp": begins + length / 10}
    return row | {"stats/action/mean": [0.0, 0.0], "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}


def _write_meta(
    root: Path, version: str, features: dict[str, Any], rows: list[dict[str, Any]], frames: int, pictures: str
) -> None:
    meta = root / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    info: dict[str, Any] = {
        "codebase_version": version, "robot_type": "unknown", "total_episodes": len(rows), "total_frames": frames,
        "total_tasks": 1, "chunks_size": CHUNK, "fps": 10, "splits": {"train": f"0:{len(rows)}"},
        "data_path": DATA[version], "video_path": VIDEO[version] if pictures == "video" else None,
        "features": features,
    }  # fmt: skip
    if version == "v3.0":
        path = meta / "episodes/chunk-000/file-000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
        pq.write_table(pa.table({"task_index": [0], "__index_level_0__": [TASK]}), meta / "tasks.parquet")
        info |= {"data_files_size_in_mb": 100, "video_files_size_in_mb": 500}
    else:
        lines = [{key: row[key] for key in ("episode_index", "tasks", "length")} for row in rows]
        statistics = [{"episode_index": row["episode_index"], "stats": {}} for row in rows]
        for name, objects in (("episodes", lines), ("episodes_stats", statistics)):
            (meta / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in objects))
        (meta / "tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": TASK}) + "\n")
        info |= {"total_videos": len(rows) if pictures == "video" else 0, "total_chunks": -(-len(rows) // CHUNK)}
    (meta / "stats.json").write_text("{}")
    (meta / "info.json").write_text(json.dumps(info, indent=4))


def write_film(path: Path, images: np.ndarray, size: tuple[int, int] = (96, 96), skip: Sequence[int] = ()) -> None:
    """A video of ten frames a second, every second one whole, as LeRobot makes them; without the frames `skip`."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", 10, options={"g": "2", "crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number, image in enumerate(images):
            if number not in skip:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = number
                file.mux(stream.encode(frame))
        file.mux(stream.encode())


def write_zarr(root: Path, numbers: Truth, pictures: bool = True, chunks: int = 6, zipped: bool = False) -> None:
    """A replay buffer as `demo_pusht.py` of Diffusion Policy records it: format 2, float32, Blosc."""
    import zarr
    from numcodecs import Blosc

    rng, frames = np.random.default_rng(3), len(numbers.state)
    arrays = {
        "state": np.column_stack([numbers.state, numbers.pose]),
        "action": numbers.action,
        "keypoint": rng.uniform(0, 512, (frames, 9, 2)).astype(np.float32),
        "n_contacts": np.zeros((frames, 1), np.float32),
        **({"img": numbers.images.astype(np.float32)} if pictures else {}),
    }
    store = zarr.storage.ZipStore(root, mode="w") if zipped else zarr.storage.LocalStore(root)
    group = zarr.create_group(store, zarr_format=2)
    for name, array in arrays.items():
        packed = Blosc("zstd", 5, Blosc.BITSHUFFLE)
        kept = group.create_array(
            f"data/{name}", shape=array.shape, dtype="<f4", chunks=(chunks, *array.shape[1:]), compressors=packed
        )
        kept[:] = array
    ends = np.cumsum(np.bincount(numbers.episode))
    kept = group.create_array("meta/episode_ends", shape=ends.shape, dtype="<i8", chunks=ends.shape, compressors=None)
    kept[:] = ends
    store.close()


def imported(source: Path, out: Path, world: str = "") -> dict[str, np.ndarray]:
    """All frames of all columns of the set that is made."""
    import_recording(source, out, world)
    dataset = open_dataset(out)
    features = {name: dataset.feature(name) for name in dataset.info["features"]}
    types = {name: feature.arrow_type() for name, feature in features.items()}
    found: dict[str, list[Any]] = {name: [] for name in features}
    for episode in dataset.read_episodes(range(len(dataset.episodes)), types):
        for name, values in episode.columns.items():
            found[name] += [dataset.decode(v, features[name].shape) for v in values] if "images" in name else values
    return {name: np.array(values) for name, values in found.items()}


def check_frames(found: dict[str, np.ndarray], numbers: Truth, keypoints: bool = True) -> None:
    """Every frame against the numbers that the recording was made from."""
    assert np.array_equal(found[STATE], numbers.state) and np.array_equal(found[ACTION], numbers.action)
    if keypoints:
        assert np.array_equal(found[KEYPOINTS], numbers.keypoints)
    else:
        assert KEYPOINTS not in found
    goal = block_corners(np.array([[256.0, 256.0, np.pi / 4]]))
    assert np.allclose(found[GOAL], goal, atol=1e-4) and len(found[GOAL]) == len(numbers.state)
    assert np.array_equal(found["episode_index"], numbers.episode)
    ends = np.cumsum(np.bincount(numbers.episode)) - 1
    assert np.array_equal(np.flatnonzero(found[DONE]), ends)
