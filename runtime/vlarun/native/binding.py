"""The library of `kernels/`: built once where g++ is present, its structures and its functions by ctypes.

Not here: which packets it can execute (`steps.py`).
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from ctypes import c_double, c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

from vla_isa.errors import OutputError
from vlarun.build_cache import cache_folder, cpu, intact, keep, locked, prune, used
from vlarun.progress import note

__all__ = [
    "Conv",
    "Copy",
    "Finish",
    "Gather",
    "Gemm",
    "Matrix",
    "Memory",
    "Pool",
    "Recip",
    "Reduce",
    "Region",
    "Row",
    "Side",
    "Step",
    "Tile",
    "Vec",
    "build",
    "library",
    "load",
]

SOURCE = Path(__file__).with_name("kernels") / "kernels.cpp"  # includes the files beside it
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-psabi")


def _fields(words: str, kind: type = c_int64) -> list[tuple[str, type]]:
    return [(word, kind) for word in words.split()]


class Region(ctypes.Structure):
    """`struct Region`."""

    _fields_ = _fields("base row_stride pitch ring slot")


class Matrix(ctypes.Structure):
    """`struct Matrix`."""

    _fields_ = _fields("base batch_stride row_stride pitch")


class Finish(ctypes.Structure):
    """`struct Finish`."""

    _fields_ = [
        *_fields("add scale record table", c_void_p),
        *_fields("wide rounding zero lo hi residual a_zero b_zero out_zero residual_lo residual_hi"),
        *_fields("a_scale b_scale", c_double),
    ]


class Tile(ctypes.Structure):
    """`struct Tile`."""

    _fields_ = [*_fields("first_group groups steps"), *_fields("offsets weights", c_void_p)]


class Conv(ctypes.Structure):
    """`struct Conv`."""

    _fields_ = [
        *_fields("input out res", Region),
        *_fields("block in_h in_w in_blocks in_zero pad_top pad_left rows pixels"),
        *_fields("out_h out_w out_blocks stride_h stride_w tiles"),
        ("tile", c_void_p),
        ("taps", c_int64),
        *_fields("tap depthwise", c_void_p),
        ("same_input", c_int64),
        ("finish", Finish),
    ]


class Side(ctypes.Structure):
    """`struct Side`."""

    _fields_ = _fields("memory base outer_stride row_stride block_stride ring slot")


class Copy(ctypes.Structure):
    """`struct Copy`."""

    _fields_ = [*_fields("source to", Side), *_fields("outer rows blocks inner fill value square overlap")]


class Vec(ctypes.Structure):
    """`struct Vec`."""

    _fields_ = [
        *_fields("a b out", Region),
        *_fields("block rows width blocks b_kind b_scalar"),
        ("pairs", c_void_p),
    ]


class Pool(ctypes.Structure):
    """`struct Pool`."""

    _fields_ = [
        *_fields("input out", Region),
        *_fields("block blocks channels in_h in_w out_h out_w kernel_h kernel_w stride_h stride_w pad_top pad_left"),
        *_fields("average in_zero rounding zero lo hi"),
        ("record", c_void_p),
    ]


class Gemm(ctypes.Structure):
    """`struct Gemm`."""

    _fields_ = [
        *_fields("input out res", Matrix),
        *_fields("block batch h m k_blocks n_blocks"),
        *_fields("tile tile_span", c_void_p),
        *_fields("weight_base weight_batch_stride"),
        ("offsets", c_void_p),
        *_fields("add_stride by_row wide_out res_kind row_max limit limit_step row_base row_batch_stride"),
        ("finish", Finish),
    ]


class Row(ctypes.Structure):
    """`struct Row`."""

    _fields_ = [
        *_fields("a b c out", Matrix),
        *_fields("block h m blocks channels"),
        *_fields("a_wide b_wide c_wide out_wide a_zero b_zero b_kind c_kind"),
        *_fields("function row_mode row_base row_k a_mult c_mult c_shift shift rounding zero lo hi"),
        *_fields("table_mode reduce reduce_base"),
        *_fields("bias mult shifts table", c_void_p),
    ]


class Reduce(ctypes.Structure):
    """`struct Reduce`."""

    _fields_ = [*_fields("input out", Matrix), *_fields("block h m blocks channels function wide zero k")]


class Recip(ctypes.Structure):
    """`struct Recip`."""

    _fields_ = [*_fields("in_base out_base n root mult shift add minus_second"), ("rom", c_void_p)]


class Gather(ctypes.Structure):
    """`struct Gather`."""

    _fields_ = [
        *_fields("in_data scatter table_base table_stride table_rows by_items index_base first n words word_bytes"),
        *_fields("act_base act_pitch overlap"),
    ]


class Step(ctypes.Structure):
    """`struct Step`."""

    _fields_ = [("kind", c_int64), ("what", c_void_p)]


class Tensor(ctypes.Structure):
    """`struct Tensor`."""

    _fields_ = [
        *_fields("h w blocks block row_bytes row_stride pixel_stride channel_stride padded"),
        ("channel", c_void_p),
    ]


class Memory(ctypes.Structure):
    """`struct Memory`."""

    _fields_ = [
        *_fields("act data weight scratch failed", c_void_p),
        *_fields("act_bytes data_bytes weight_bytes scratch_bytes count"),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The library, built now if the cache does not have it; None where it cannot be had, with a note of why."""
    try:
        sources = [(p.name, p.read_bytes()) for p in sorted(SOURCE.parent.iterdir()) if p.suffix in (".cpp", ".h")]
        content = hashlib.sha256(repr((sources, FLAGS, platform.machine(), cpu())).encode())
        path = cache_folder("native") / f"kernels-{content.hexdigest()[:24]}.so"
        if not intact(path):
            if shutil.which("g++") is None:
                raise FileNotFoundError("its kernels need g++, which is not on PATH")
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path, "the kernels of sim"):
                if not intact(path):
                    build(path)
            prune(path.parent)
        used(path)
        return load(path)
    except (OSError, OutputError) as e:
        note(f"sim runs in numpy, which is slower: {e}")
        return None


def build(path: Path, flags: Sequence[str] = FLAGS) -> None:
    """Compile the library to `path`, whole or not at all.

    Raises:
        OSError, OutputError: the folder cannot be written, or g++ fails.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as work:
        made = Path(work) / path.name
        command = ["g++", *flags, str(SOURCE), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            raise OSError(f"g++ does not build {SOURCE.name}: {' '.join(errors[:1])}")
        keep(made, path)


def load(path: Path) -> ctypes.CDLL:
    """A built library, its functions typed.

    Raises:
        OSError: it cannot be loaded.
    """
    found = ctypes.CDLL(str(path))
    found.vla_run.restype, found.vla_run.argtypes = None, [c_void_p, c_int64, c_void_p]
    found.vla_groups.restype, found.vla_groups.argtypes = c_int64, []
    for convert in (found.vla_quantize, found.vla_dequantize):
        convert.restype, convert.argtypes = None, [c_void_p, c_int64, c_float, c_float, c_void_p]
    found.vla_pack.restype, found.vla_pack.argtypes = None, [c_void_p, c_void_p, c_void_p, c_int]
    found.vla_unpack.restype, found.vla_unpack.argtypes = None, [c_void_p, c_void_p, c_void_p]
    return found
