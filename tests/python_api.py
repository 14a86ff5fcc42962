"""The reference page of the Python API, from the docstrings.

    python tests/python_api.py > docs/reference/python_api.md

Not here: what the functions do. Their docstrings say it, and the page holds nothing else but an example.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from typing import Any

__all__ = ["EXAMPLE", "page"]

_COLUMNS = 100

EXAMPLE = """\
import numpy as np

import vlac
import vlarun
from vla_isa import image

options = vlac.CompileOptions(calibration="calib.npz")  # arrays by ONNX input name, as the robot will see them
program = vlac.compile_model("model.onnx", "u50", options)
image.save(program, "prog.bin")  # what `vlac compile` writes

session = vlarun.open_session("prog.bin", backend="sim")  # or "rtl": the Verilog machine
with np.load("calib.npz") as samples:
    outputs = session.run({name: samples[name][:1] for name in samples.files})
print({name: array.shape for name, array in outputs.items()}, session.stats["cycles"], "cycles")
"""

SECTIONS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "Compile": (
        "`import vlac` (needs no PyTorch).",
        {"vlac": ("compile_model", "compile_file", "CompileOptions")},
    ),
    "Run": (
        "`import vlarun` (needs neither PyTorch nor the compiler).",
        {"vlarun": ("open_session", "Session", "PackageSession", "RunResult")},
    ),
    "Programs and hardware configs": (
        "",
        {
            "vla_isa.hardware": ("load", "names", "HardwareConfig"),
            "vla_isa.image": ("save", "load"),
            "vla_isa.package": ("load",),
        },
    ),
    "Errors": (
        "Whatever is wrong with a file, a model, data or options is raised as a subclass of `VlaError`, with a message "
        "for the user.",
        {"vla_isa.errors": ("VlaError",)},
    ),
    "Datasets": (
        "Need the extra `envs` or `train`; `import_recording` needs `import` too.",
        {
            "vla_datasets.lerobot.reader": ("open_dataset", "Dataset"),
            "vla_datasets.lerobot.format": ("Feature",),
            "vla_datasets.lerobot.writer": ("write_dataset", "Episode"),
            "vla_datasets.import_.write": ("import_recording",),
            "vla_datasets.export.aloha": ("export_aloha",),
            "vla_datasets.unified.vector": ("to_unified", "from_unified"),
        },
    ),
    "Waymo's end-to-end set": (
        "Needs the extra `waymo`.",
        {
            "vla_datasets.waymo.index": ("open_frames", "FrameIndex"),
            "vla_datasets.waymo.frame": ("Frame",),
            "vla_datasets.waymo.prepare": ("import_frames",),
            "vla_datasets.waymo.metrics": ("displacement", "padded_raters", "rater_feedback_score"),
            "vla_datasets.waymo.submission": ("About", "write_submission"),
        },
    ),
}


def page() -> str:
    """docs/reference/python_api.md."""
    parts = [
        "# Python API",
        "Written by `python tests/python_api.py` from the docstrings; checked, and the example run, by "
        "`tests/test_python_api.py`. Every package has type hints (`py.typed`).",
        f"```python\n{EXAMPLE}```",
        "Importing any of these packages switches ONNX Runtime's telemetry off (`vla_isa.telemetry`): import them "
        "before `onnxruntime`, or set `ORT_DISABLE_TELEMETRY=1` yourself.",
    ]
    for title, (text, modules) in SECTIONS.items():
        parts += [f"## {title}", *([text] if text else [])]
        for module, names in modules.items():
            for name in names:
                parts += _entry(module, name, getattr(importlib.import_module(module), name))
    return "\n\n".join(parts) + "\n"


def _entry(module: str, name: str, thing: Any) -> list[str]:
    parts = [f"### {module}.{name}"]
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        parts.append(f"```python\n{_signature(name, thing)}\n```")
    parts += _text(thing)
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if member.startswith("_") or not inspect.getdoc(value):
                continue
            if inspect.isfunction(value):
                parts += [f"#### {name}.{member}", f"```python\n{_signature(member, value)}\n```", *_text(value)]
            elif isinstance(value, property):
                parts += [f"#### {name}.{member}", *_text(value)]
    return parts


class _Bare(str):
    """Text that stands in a signature as it is."""

    __repr__ = str.__str__


def _signature(name: str, thing: Any) -> str:
    """The signature; of a long one every parameter in a line of its own."""
    found = inspect.signature(thing)
    made = {f.name: f.default_factory for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    wanted = [p for p in found.parameters.values() if p.name != "self"]
    parameters = [_shown(p, made.get(p.name, dataclasses.MISSING)) for p in wanted]
    result = found.return_annotation
    result = inspect.Signature.empty if inspect.isclass(thing) or result in (None, "None") else _Bare(result)
    text = f"{name}{found.replace(parameters=parameters, return_annotation=result)}"
    if len(text) <= _COLUMNS:
        return text
    lines = [str(p) for p in parameters]
    keywords = [n for n, p in enumerate(parameters) if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if keywords:
        lines.insert(keywords[0], "*")
    end = "" if result is inspect.Signature.empty else f" -> {result}"
    return "\n".join([f"{name}(", *(f"    {line}," for line in lines), f"){end}"])


def _shown(parameter: inspect.Parameter, factory: Any) -> inspect.Parameter:
    """A parameter whose annotation is bare; its default is what a dataclass's factory makes, or dots for a function."""
    default = parameter.default if factory is dataclasses.MISSING else factory()
    default = _Bare("...") if inspect.isfunction(default) else default
    return parameter.replace(annotation=_Bare(parameter.annotation), default=default)


def _text(thing: Any) -> list[str]:
    """A docstring as Markdown: `Args:` and the like become bold, their entries a list."""
    out: list[str] = []
    for block in (inspect.getdoc(thing) or "").split("\n\n"):
        head, _, rest = block.partition("\n")
        if head in ("Args:", "Raises:", "Attributes:"):
            entries = re.split(r"\n(?=    \S)", "\n" + rest)[1:]
            out.append(f"**{head[:-1]}**\n\n" + "\n".join(f"- {_named(' '.join(e.split()))}" for e in entries))
        elif head.startswith("Returns:"):
            out.append(f"**Returns** {' '.join(block.removeprefix('Returns:').split())}")
        elif block.startswith("    "):
            out.append("```python\n" + inspect.cleandoc(block) + "\n```")
        else:
            out.append(" ".join(block.split()))
    return out


def _named(entry: str) -> str:
    name, colon, text = entry.partition(": ")
    return f"`{name}`: {text}" if colon else entry


if __name__ == "__main__":
    sys.stdout.write(page())
