"""Cases that surviving mutants showed to be missing; each fails with the mutant named in it.

They belong to no module's own test yet: move a case there when that test is next worked on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import vlac
import vlarun
from vla_isa import hardware
from vla_isa.encoding import make_packet
from vla_isa.engine_cycles import drain_groups
from vla_isa.errors import ConfigError
from vla_isa.generated.codes import Rounding
from vlac.emit.semaphores import assign_semaphores
from vlac.ir.operation import Tensor
from vlac.legalize.compose import used
from vlac.legalize.space_to_depth import _taps
from vlarun.conformance.limit_cases import small_packet
from vlarun.conformance.programs import copy_packet
from vlarun.files import write_arrays
from vlarun.memory import Records
from vlarun.requantize import requantize


def test_a_large_accumulator_leaves_the_float_path_though_the_bias_is_small() -> None:
    """runtime/vlarun/requantize.py: `largest -= bound + ...`. In float64 the product would be a tie."""
    packet = make_packet("CONV", rounding=Rounding.NEAREST_EVEN, lo=-128, hi=127)
    acc, mult, shift = np.array([[1523029185]], np.int32), 16448321, 49
    exact = int(acc[0, 0]) * mult
    assert exact - (89 << 48) == 1 and int(float(exact)) == 89 << 48  # 44.5 and a little
    records = Records(np.zeros(1, np.int64), np.array([mult]), np.array([shift]))
    assert requantize(acc, records, packet, 1 << 31).tolist() == [[45]]


def test_inputs_without_a_batch_run_once(tmp_path: Path) -> None:
    """runtime/vlarun/inputs.py: `next(iter(counts.values()), 2)`. Axis 0 of this input is no batch."""
    rng = np.random.default_rng(0)
    constants = [numpy_helper.from_array(rng.standard_normal((10, 3), np.float32), "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul")]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (4, c)) for n, c in (("x", 10), ("y", 3))]
    graph = helper.make_graph(nodes, "rows", infos[:1], infos[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    options = vlac.CompileOptions(calibration="random:1")
    session = vlarun.Session(vlac.compile_model(tmp_path / "m.onnx", hardware.load("tiny"), options))
    out = session.run({"x": rng.standard_normal((4, 10), np.float32)})
    assert out["y"].shape == (4, 3) and session.stats["runs"] == 1


def test_an_integer_input_keeps_its_name(tmp_path: Path) -> None:
    """compiler/vlac/ops/dequantize_linear.py: `source.name and "?"`. The model's input is int8 itself."""
    scale, zero = numpy_helper.from_array(np.float32(0.5), "s"), numpy_helper.from_array(np.int8(3), "z")
    nodes = [
        helper.make_node("DequantizeLinear", ["pixels", "s", "z"], ["x"], name="in"),
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="out"),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.INT8, (1, 9))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 9))
    graph = helper.make_graph(nodes, "integers", [pixels], [out], [scale, zero])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    session = vlarun.Session(vlac.compile_model(tmp_path / "m.onnx", hardware.load("tiny")))
    values = np.arange(-4, 5, dtype=np.int8)[None]
    want = np.maximum((values.astype(np.float32) - 3) * 0.5, 0)
    assert np.array_equal(session.run({"pixels": values})["y"], want)


def test_arrays_of_objects_are_never_pickled(tmp_path: Path) -> None:
    """runtime/vlarun/files.py: `allow_pickle=True` where arrays are written."""
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "out.npz", {"x": np.array([object()])})
    assert not list(tmp_path.iterdir())


def test_a_move_reads_no_tensor_in_vain() -> None:
    """compiler/vlac/legalize/compose.py: `index <= start + size`. The second's first element is not the first's."""
    tensors = [Tensor(name, name, (1, 4, 2, 2), 1.0, 0) for name in ("a", "b")]
    kept, index = used(tensors, np.arange(16, 20))
    assert kept == tensors[1:] and index.tolist() == [0, 1, 2, 3]


def test_a_packet_waits_for_the_nearest_that_implies_the_others() -> None:
    """compiler/vlac/emit/semaphores.py: `if w[0] >= 1`. The nearest may be the first of its queue."""
    load = copy_packet("fill_act", n0=8, dst=0)
    vec = small_packet(hardware.load("tiny"), "VEC", {"a_base": 0, "b_base": 0, "out_base": 8})
    store = copy_packet("act_to_data", n0=16, src=0, dst=0)
    masks = [
        (p["wait"], p["signal"])
        for p in (o.packet for o in assign_semaphores([load, vec, store], hardware.load("tiny")))
    ]
    assert masks == [(0b00, 0b01), (0b01, 0b10), (0b10, 0b00)]  # (waits, signals): the store needs no wait for the load


def test_the_deepest_queues_are_a_legal_config() -> None:
    """isa/vla_isa/hardware.py: `self.queue_depth < 16`."""
    tiny = hardware.load("tiny")
    assert [replace(tiny, queue_depth=n).queue_depth for n in (2, 4, 8, 16)] == [2, 4, 8, 16]
    with pytest.raises(ConfigError, match="found 32"):
        replace(tiny, queue_depth=32)


def test_the_last_strip_has_one_to_all_groups() -> None:
    """isa/vla_isa/engine_cycles.py: `pixels - np.arange`. Strips of 4 pixels, 2 of which are requantized at once."""
    found = [drain_groups(n, hardware.load("tiny")).tolist() for n in (1, 4, 5, 7, 8)]
    assert found == [[1], [2], [2, 1], [2, 2], [2, 2]]


def test_a_fold_reads_no_more_groups_than_the_kernel_reaches() -> None:
    """compiler/vlac/legalize/space_to_depth.py: `kernel - 1 + pad`. More would cost cycles."""
    assert [_taps(3, 2, 1), _taps(3, 2, 0), _taps(7, 2, 3), _taps(8, 4, 0)] == [(-1, 2), (0, 2), (-2, 4), (0, 2)]
