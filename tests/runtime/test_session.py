"""Session: names, shapes, dtypes, batches, raw integers, statistics; every bad input has a clear message."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hand_program import IN_SCALE, IN_ZERO, OUT_SCALE, good_inputs, make_program
from onnx import TensorProto, helper

import vlarun
from vla_isa import image
from vla_isa.encoding import encode, make_packet
from vla_isa.errors import BadUsageError, ConfigError, HazardError, ProgramError
from vla_isa.program import Program, Segment
from vlarun.errors import BackendError, InputError, MachineError


def test_floats_in_floats_out(program: Program) -> None:
    inputs = good_inputs()
    outputs = vlarun.Session(program).run(inputs)
    assert outputs["sum"].dtype == np.float32 and outputs["sum"].shape == (1, 3, 5, 6)
    q = np.clip(np.rint(inputs["image"] / IN_SCALE) + IN_ZERO, -128, 127)
    want = np.clip(np.rint(2 * (q - IN_ZERO) * IN_SCALE / OUT_SCALE), -128, 127) * OUT_SCALE
    assert np.array_equal(outputs["sum"], want.astype(np.float32))
    assert np.array_equal(outputs["copy"], inputs["bias"])


def test_batch_is_runs(program: Program) -> None:
    session = vlarun.Session(program)
    many = good_inputs(4)
    joined = session.run(many)
    assert joined["sum"].shape == (4, 3, 5, 6)
    for i in range(4):
        one = session.run({k: v[i : i + 1] for k, v in many.items()})
        assert np.array_equal(joined["sum"][i : i + 1], one["sum"])


def test_numbers_of_any_dtype_are_real_values(program: Program) -> None:
    session = vlarun.Session(program)
    wanted = session.run({"image": np.full((1, 3, 5, 6), 2, np.float32), "bias": np.ones((1, 2), np.float32)})
    for dtype in (np.float16, np.float64, np.int8, np.uint8, np.int64, np.uint32):
        found = session.run({"image": np.full((1, 3, 5, 6), 2, dtype), "bias": np.ones((1, 2), bool)})
        for name, values in wanted.items():
            assert np.array_equal(found[name], values), (name, dtype)


def test_raw_input_is_the_device_s_integers(program: Program) -> None:
    session = vlarun.Session(program)
    q = np.arange(90, dtype=np.int64).reshape(1, 3, 5, 6) - 45
    raw = session.run({"image": q, "bias": np.array([[5, -6]], np.int16)}, raw=True, raw_input=True)
    assert raw["sum"].dtype == np.int8
    assert np.array_equal(raw["sum"], np.clip(4 * (q - IN_ZERO), -128, 127))
    assert raw["copy"].tolist() == [[5, -6]]


BAD_INPUTS = {
    "unknown name": ({"imge": 0}, "unknown input 'imge'.*Did you mean 'image'"),
    "missing": ({"bias": None}, "input 'bias' is missing"),
    "shape": ({"image": np.zeros((1, 3, 6, 5), np.float32)}, r"shape \[1, 3, 6, 5\]; expected \[1, 3, 5, 6\]"),
    "rank": ({"image": np.zeros((3, 5, 6), np.float32)}, r"or \[N, 3, 5, 6\] or \[N, 1, 3, 5, 6\] for N runs"),
    "empty batch": ({"image": np.zeros((0, 3, 5, 6), np.float32)}, r"shape \[0, 3, 5, 6\]"),
    "different batches": ({"image": np.zeros((2, 3, 5, 6), np.float32)}, "'image' 2, 'bias' 1"),
    "too large": ({"image": np.full((1, 3, 5, 6), 1e39)}, r"is 1e\+39 at \[0, 0, 0, 0\]; float32 holds no such number"),
    "complex": ({"image": np.zeros((1, 3, 5, 6), np.complex64)}, "dtype complex64; give numbers"),
    "text": ({"image": np.full((1, 3, 5, 6), "a")}, "dtype <U1"),
    "nan": ({"image": np.full((1, 3, 5, 6), np.nan, np.float32)}, r"is nan at \[0, 0, 0, 0\]"),
    "infinite": ({"bias": np.array([[0, np.inf]], np.float32)}, r"is inf at \[0, 1\]"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs(program: Program, name: str) -> None:
    changes, message = BAD_INPUTS[name]
    inputs = {k: v for k, v in (good_inputs() | changes).items() if v is not None}
    with pytest.raises(InputError, match=message):
        vlarun.Session(program).run(inputs)


@pytest.mark.parametrize(("value", "message"), [(128, "holds 128, outside -128..127"), (-129, "-129"), (0.5, "whole")])
def test_bad_raw_input(program: Program, value: float, message: str) -> None:
    inputs = {"image": np.full((1, 3, 5, 6), value), "bias": np.zeros((1, 2))}
    with pytest.raises(InputError, match=message):
        vlarun.Session(program).run(inputs, raw_input=True)


def test_refusals(program: Program, tmp_path: Path) -> None:
    with pytest.raises(BadUsageError, match=r"unknown backend 'sym'.*Did you mean 'sim'"):
        vlarun.Session(program, backend="sym")
    with pytest.raises(ProgramError, match="compiled for 'tiny', which is not 'u50'"):
        vlarun.Session(program, config="u50")
    with pytest.raises(ConfigError, match="unknown hardware config 'u51'"):
        vlarun.Session(program, config="u51")
    with pytest.raises(ProgramError, match="no entry point 'red'; it has main"):
        vlarun.Session(program).run(good_inputs(), entry="red")
    with pytest.raises(BackendError, match="give --onnx"):
        vlarun.Session(program, backend="ref").run(good_inputs())
    with pytest.raises(BackendError, match="cannot be read"):
        vlarun.Session(program, backend="ref", onnx=tmp_path / "none.onnx").run(good_inputs())
    with pytest.raises(MachineError, match="before a run"):
        _ = vlarun.Session(program).stats


def test_check_runs_the_hazard_checker() -> None:
    program = make_program()
    packets = bytearray(program.heaps[0].data)
    packets[2 * 64 + 1 : 2 * 64 + 5] = bytes(4)  # the VEC neither waits nor signals
    program.heaps[0] = Segment(0, bytes(packets))
    with pytest.raises(HazardError):
        vlarun.Session(program, check=True)
    vlarun.Session(make_program(), check=True)


def test_an_error_status_names_packet_and_address() -> None:
    program = make_program()
    packets = bytearray(program.heaps[0].data)
    packets[2 * 64 : 3 * 64] = encode(make_packet("VEC", table_base=1023, out_h=2))
    program.heaps[0] = Segment(0, bytes(packets))
    with pytest.raises(MachineError, match=r"FIELD_LIMIT at packet 2 \(address 0x80\): VEC: all rows of `a`"):
        vlarun.Session(program).run(good_inputs())


def test_stats_and_trace(program: Program) -> None:
    session = vlarun.Session(program)
    session.run(good_inputs(2))
    stats = json.loads(json.dumps(session.stats))
    assert {
        "backend",
        "config",
        "cycles",
        "macs",
        "peak_macs_per_cycle",
        "utilization",
        "hbm_read_bytes",
        "hbm_write_bytes",
        "wall_seconds",
        "instructions",
    } <= set(stats)
    assert (stats["backend"], stats["config"], stats["runs"], stats["peak_macs_per_cycle"]) == ("sim", "tiny", 2, 256)
    assert stats["cycles"] > 100 and stats["hbm_read_bytes"] > 6 * 64
    assert [i["op"] for i in stats["instructions"]] == ["COPY", "COPY", "VEC", "COPY", "COPY", "HALT"]
    assert stats["instructions"][2]["node"] == "Add_0"
    events = [e for e in session.trace["traceEvents"] if e["ph"] == "X"]
    assert len(events) == 6 and all(e["dur"] >= 0 for e in events)


def reference_model() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "image"], ["sum"]), helper.make_node("Identity", ["bias"], ["copy"])],
        "g",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 5, 6]),
            helper.make_tensor_value_info("bias", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3, 5, 6]),
            helper.make_tensor_value_info("copy", TensorProto.FLOAT, [1, 2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def test_reference_backend(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(reference_model())
    inputs = good_inputs(3)
    inputs["image"] += np.float32(0.01)  # not on the quantization grid: `ref` does not round inputs
    reference = vlarun.Session(program, backend="ref", onnx=path)
    assert np.array_equal(reference.run(inputs)["sum"], inputs["image"] + inputs["image"])
    raw = reference.run(inputs, raw=True)["sum"]
    assert np.array_equal(raw, vlarun.Session(program).run(inputs, raw=True)["sum"])


def test_foreign_and_broken_models(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BackendError, match="cannot load the model"):
        vlarun.Session(program, backend="ref", onnx=path).run(good_inputs())
    program.onnx = b"AAA"
    with pytest.raises(BackendError, match="cannot load the model"):
        vlarun.Session(program, backend="ref").run(good_inputs())
    program.onnx = b""
    with pytest.raises(BackendError, match="compile with --embed-onnx"):
        vlarun.Session(program, backend="ref").run(good_inputs())


def test_embedded_model(program: Program, tmp_path: Path) -> None:
    program.onnx = reference_model()
    image.save(program, tmp_path / "p.bin")
    loaded = image.load(tmp_path / "p.bin")
    assert loaded.onnx == program.onnx
    inputs = good_inputs()
    found = vlarun.Session(loaded, backend="ref").run(inputs)
    assert np.array_equal(found["sum"], inputs["image"] + inputs["image"])
