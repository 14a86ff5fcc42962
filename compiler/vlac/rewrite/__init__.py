"""Rewrites of the float model: each makes a graph that quantizes better or runs in fewer instructions.

RULES are pattern rules of onnxscript and our own, in the order they are tried; one file per own rewrite.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes
from onnxscript.rewriter.rules.common import (
    fuse_pad_into_conv_rule,
    matmul_add_to_gemm_rule,
    normalize_pad_format_conv_rule,
)

from vlac.import_onnx.names import settle_names, settle_outputs
from vlac.import_onnx.simplify import kept_identities, quiet, simplify
from vlac.model.apply_rules import apply_rules
from vlac.rewrite.axis_order import turn_regions
from vlac.rewrite.batch_norm_to_conv import BATCH_NORM_TO_CONV
from vlac.rewrite.batched_matmul import split_batches
from vlac.rewrite.cast_pair import CAST_PAIR
from vlac.rewrite.div_to_mul import DIV_TO_MUL
from vlac.rewrite.factor_before_moves import factor_before_moves
from vlac.rewrite.fold_affine import fold_affine
from vlac.rewrite.gemm_bias import GEMM_BIAS
from vlac.rewrite.group_norm_steps import expand_group_norms
from vlac.rewrite.group_to_dense import GROUP_TO_DENSE
from vlac.rewrite.lrn_to_conv import expand_lrn
from vlac.rewrite.one_dimensional import widen
from vlac.rewrite.pad_max_pool import pad_max_pools
from vlac.rewrite.recurrent import unroll_recurrent
from vlac.rewrite.rows_to_gemm import rows_to_gemm
from vlac.rewrite.sequence import recover_sequences
from vlac.rewrite.split_products import split_products
from vlac.rewrite.split_variadic import split_variadic
from vlac.rewrite.sub_to_add import sub_to_add
from vlac.rewrite.three_dimensional import flatten_depth
from vlac.rewrite.where_mask import where_masks

__all__ = ["RULES", "rewrite_float"]

RULES = (
    normalize_pad_format_conv_rule,
    fuse_pad_into_conv_rule,
    matmul_add_to_gemm_rule,
    BATCH_NORM_TO_CONV,
    CAST_PAIR,
    DIV_TO_MUL,
    GEMM_BIAS,
    GROUP_TO_DENSE,
)


@quiet()
def rewrite_float(model: ir.Model, *, merge_convs: bool = True) -> ir.Model:
    """Apply RULES, fold what became constant, and drop what nothing uses; `merge_convs` as in `simplify`."""
    outputs = [v.name for v in model.graph.outputs]
    recover_sequences(model)
    unroll_recurrent(model)
    expand_group_norms(model)
    expand_lrn(model)
    sub_to_add(model)
    split_variadic(model)
    split_batches(model)
    where_masks(model)
    turn_regions(model)
    factor_before_moves(model)
    fold_affine(model)
    split_products(model)
    rows_to_gemm(model)
    pad_max_pools(model)
    widen(model)
    flatten_depth(model)
    apply_rules(model, RULES)
    settle_names(model)
    with kept_identities(model):
        onnx_passes.IdentityEliminationPass()(model)
    settle_outputs(model, outputs)
    simplify(model, merge_convs=merge_convs)
    onnx_passes.RemoveUnusedNodesPass()(model)
    return model
