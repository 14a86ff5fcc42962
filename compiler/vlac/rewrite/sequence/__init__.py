"""Transformers in a float graph: what exporters spell out in many nodes becomes one node of ONNX, in one form.

Behind `recover_sequences` these are the forms that quantization and lowering meet; B is the batch, S a length, H a
number of heads, D the channels of a head. All are ONNX's own operators, so ONNX Runtime computes the float reference.

    Attention(q, k, v, mask?, past_key?, past_value?) -> y, present_key?, present_value?             opset 23
        q [B, Sq, H*D], k [B, Sk, Hkv*D], v [B, Sk, Hkv*Dv], y [B, Sq, H*Dv]: heads side by side in the channels, as a
        projection makes them. q_num_heads H, kv_num_heads Hkv (H is a multiple: heads share keys), scale always given,
        is_causal where key j > past + query i is masked, softcap where it is not 0.
        mask [B or 1, H or 1, Sq, past + Sk] of truth values (true stays) or added; -inf is never. Where no query
        differs it is an Expand of [B or 1, H or 1, 1, past + Sk]. `model/mask_structure.py`: what it is to the machine.
        past_* and present_* [B, Hkv, S, D] are inputs and outputs of the model. A row without keys is 0.
    LayerNormalization(x, gamma, beta?), RMSNormalization(x, gamma)                                   opset 17, 23
        x of any rank, over the last axes from `axis` (negative) on; gamma and beta constants of these axes' sizes.
    RotaryEmbedding(x, cos, sin)                                                                      opset 23
        x [B, S, H*D], num_heads H, cos and sin [B, S, R/2] (R: rotary_embedding_dim, D where not given), constants or
        computed of position numbers; interleaved: pairs are neighbours, else channels R/2 apart.
    TensorScatter(cache, new, position)                                                               opset 24
        a cache written at a computed position [B]; a cache that grows is past_key of Attention, or a Concat.
    GroupNormalization(x, gamma, beta)                                                                opset 21
        x [B, C, ...], num_groups; gamma and beta [C]. InstanceNorm is one group per channel.
    LRN(x)                                                                                            opset 13
        as ONNX has it, of an odd number of channels.
    Gelu(x), approximate none or tanh; Swish(x), alpha 1 where it is not given                        opset 20, 24
        Only in models with one of the above; elsewhere a chain of functions is one table already.

    Gemm(x, Gather(weights, number), Gather(biases, number)), Conv likewise                           opset 13
        a layer of one expert: weights [E, ...] and biases [E, N] are constants, number a scalar, an ArgMax of [E] or an
        input of the model. A mixture whose mask keeps one expert is its layers.

    TopK, Softmax or Sigmoid, ScatterElements                                                         opset 11
        the gates [..., E] of a mixture whose experts are chosen for each token: see `vlac.model.gates`. The experts are
        one network whose hidden channels, those of one expert after another, are multiplied by their gates.

Gates, LayerScale, adaLN, residuals are Mul and Add; an embedding is Gather of a constant table. What a rewrite does not
understand stays as it was, and is refused as such.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes

from vlac.rewrite.sequence.activations import recover_activations
from vlac.rewrite.sequence.attention import recover_attention
from vlac.rewrite.sequence.attention_op import pack_attention
from vlac.rewrite.sequence.cache_write import recover_cache_writes
from vlac.rewrite.sequence.collapse_moves import collapse_moves
from vlac.rewrite.sequence.einsum import split_einsums
from vlac.rewrite.sequence.embedding import gather_rows
from vlac.rewrite.sequence.experts import choose_weights
from vlac.rewrite.sequence.gates import recover_gates
from vlac.rewrite.sequence.group_norm import recover_group_norms
from vlac.rewrite.sequence.lengths import recover_lengths
from vlac.rewrite.sequence.lrn import recover_lrn
from vlac.rewrite.sequence.microsoft import expand_microsoft
from vlac.rewrite.sequence.mixtures import keep_one_expert
from vlac.rewrite.sequence.norm_order import order_norms
from vlac.rewrite.sequence.norms import recover_norms
from vlac.rewrite.sequence.opset import raise_opset
from vlac.rewrite.sequence.rotary import recover_rotations
from vlac.rewrite.sequence.rows import read_rows
from vlac.rewrite.sequence.token_mixtures import widen_mixtures

__all__ = ["recover_sequences"]

_SEQUENCE = ("Attention", "LayerNormalization", "RMSNormalization", "RotaryEmbedding", "TensorScatter")
_OTHERS = ("GroupNormalization", "LRN")


def recover_sequences(model: ir.Model) -> None:
    """Rewrite what a float model spells out, in place; a model without any of it stays as it is."""
    expand_microsoft(model)
    split_einsums(model)
    gather_rows(model)
    keep_one_expert(model)
    choose_weights(model)
    widen_mixtures(model)
    recover_gates(model)
    recover_norms(model)
    recover_lengths(model)
    recover_group_norms(model)
    recover_lrn(model)
    order_norms(model)
    recover_rotations(model)
    recover_cache_writes(model)
    pack_attention(model)
    recover_attention(model)
    found = {n.op_type for n in model.graph if n.domain in ("", "ai.onnx")}
    if found.intersection(_SEQUENCE):
        recover_activations(model)
        read_rows(model)
        collapse_moves(model)
    if raise_opset(model) or found.intersection((*_SEQUENCE, *_OTHERS)):
        model.graph.sort()
        onnx_passes.RemoveUnusedNodesPass()(model)
