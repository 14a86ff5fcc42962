"""The ways other tools write a quantized model, each turned into the form the compiler reads.

That form: activations QuantizeLinear -> DequantizeLinear with int8 or uint8 and one scale; weights
DequantizeLinear of int8 constants; biases DequantizeLinear of int32 constants or float. Every step keeps what
the model computes; what cannot be kept is refused. Models of ONNX Runtime's quantizer are in this form already.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes
from onnxscript.rewriter.rules.common import matmul_add_to_gemm_rule

from vlac.import_onnx.simplify import quiet
from vlac.model.apply_rules import apply_rules
from vlac.quantize.dialects.clipped import unclip
from vlac.quantize.dialects.constants import fold_constants
from vlac.quantize.dialects.qonnx import from_qonnx, uses_qonnx
from vlac.quantize.dialects.weight_only import dequantize_weights
from vlac.quantize.dialects.wide_weights import split_wide_weights
from vlac.rewrite.one_dimensional import widen

__all__ = ["canonical", "dequantize_weights", "from_qonnx", "uses_qonnx"]


@quiet()
def canonical(model: ir.Model) -> ir.Model:
    """A QDQ model of any tool in the form the compiler reads.

    Raises:
        UnsupportedError: quantization that the machine's int8 cannot express.
    """
    fold_constants(model)
    unclip(model)
    apply_rules(model, (matmul_add_to_gemm_rule,))  # a Linear layer whose bias is an Add of its own
    split_wide_weights(model)
    widen(model, layers=False)
    onnx_passes.RemoveUnusedNodesPass()(model)
    return model
