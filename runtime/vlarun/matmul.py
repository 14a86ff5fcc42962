"""Exact integer matrix products on the CPU's int8 units, through ONNX Runtime's MatMulInteger.

Accumulators are int32 and wrap modulo 2^32, as the machine's do. MLAS multiplies uint8 by int8 exactly
only where the CPU accumulates without saturation (VNNI); a probe decides once per process, and other CPUs
use uint8 by uint8, which is exact everywhere.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vlarun.onnx_runtime import OnnxSession

__all__ = ["SIGN", "matmul", "signed_weights_are_exact"]

SIGN = np.uint8(0x80)  # q XOR 0x80 = q + 128: int8 as uint8 with zero point 128


def matmul(a: NDArray[np.uint8], b: NDArray[np.int8]) -> NDArray[np.int32]:
    """`(a - 128) @ b`, int32 [..., M, N], wrapping modulo 2^32.

    Args: a uint8 [..., M, K], which is int8 with its sign bit flipped; b int8 [..., K, N].
    """
    if signed_weights_are_exact():
        return _run(_session(True), a, b)
    return _run(_session(False), a, b.view(np.uint8) ^ SIGN)


@cache
def signed_weights_are_exact() -> bool:
    """Whether uint8 x int8 products of this CPU do not saturate: extreme operands in every lane."""
    a = np.full((8, 256), 255, np.uint8)
    a[1::2] = 0
    b = np.full((256, 32), -128, np.int8)
    b[:, 1::2] = 127
    expected = (a.astype(np.int64) - 128) @ b.astype(np.int64)
    return bool(np.array_equal(_run(_session(True), a, b), expected))


def _run(session: OnnxSession, a: NDArray[np.uint8], b: NDArray[np.int8] | NDArray[np.uint8]) -> NDArray[np.int32]:
    result: NDArray[np.int32] = session.run(["y"], {"a": np.ascontiguousarray(a), "b": np.ascontiguousarray(b)})[0]
    return result


@cache
def _session(signed: bool) -> OnnxSession:
    """A session with one MatMulInteger of any shape; `signed` says whether b is int8 or uint8."""
    zero = np.array(128, np.uint8)
    constants = [numpy_helper.from_array(zero, "a_zero")]
    names = ["a", "b", "a_zero"]
    if not signed:
        constants.append(numpy_helper.from_array(zero, "b_zero"))
        names.append("b_zero")
    b_type = TensorProto.INT8 if signed else TensorProto.UINT8
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", names, ["y"])],
        "matmul",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, None), helper.make_tensor_value_info("b", b_type, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        constants,
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return OnnxSession(model.SerializeToString(), "MatMulInteger")
