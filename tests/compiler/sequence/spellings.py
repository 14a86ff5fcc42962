"""The table of spellings: what each is called, and the canonical nodes that it becomes. Without PyTorch.

Not here: the modules (`*_modules.py`, by the same names).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CASES", "EXPORTERS", "Case"]

# exporter and opset, as `torch.onnx.export` takes them
EXPORTERS = {
    "dynamo-18": {"dynamo": True, "opset_version": 18},
    "dynamo-23": {"dynamo": True, "opset_version": 23},
    "legacy-17": {"dynamo": False, "opset_version": 17},
}
DYNAMO = ("dynamo-18", "dynamo-23")  # the legacy exporter of PyTorch 2.13 fails on it


@dataclass(frozen=True)
class Case:
    """One spelling.

    Attributes:
        what: how the documentation calls it.
        nodes: canonical nodes that must come out, by operator.
        gone: operators that must not.
        exporters: those of EXPORTERS that can export it.
    """

    name: str
    family: str
    what: str
    nodes: dict[str, int] = field(default_factory=dict)
    gone: tuple[str, ...] = ("Softmax",)
    exporters: tuple[str, ...] = tuple(EXPORTERS)


A, N, F, R = "attention", "norms", "activations", "rotary embeddings"
ONE = {"Attention": 1}
LN, RMS, GN = ({name: 1} for name in ("LayerNormalization", "RMSNormalization", "GroupNormalization"))
REDUCED = ("ReduceMean", "Sqrt", "Pow", "Reciprocal", "InstanceNormalization")
ATTENTION = (
    Case("sdpa", A, "`F.scaled_dot_product_attention`", ONE),
    Case("sdpa_scale", A, "the same with `scale`", ONE),
    Case("sdpa_causal", A, "the same with `is_causal`", ONE),
    Case("sdpa_gqa", A, "the same with `enable_gqa`", ONE, exporters=DYNAMO),
    Case("sdpa_bool", A, "a computed mask of truth values", ONE),
    Case("sdpa_float", A, "a computed additive mask", ONE),
    Case("sdpa_fixed_causal", A, "a causal mask of truth values", ONE),
    Case("sdpa_fixed_float", A, "a causal mask of -inf", ONE),
    Case("sdpa_prefix", A, "a prefix mask", ONE),
    Case("sdpa_window", A, "a sliding window", ONE),
    Case("sdpa_keys", A, "a fixed mask of keys", ONE),
    Case("hand", A, "MatMul, division by sqrt(d), Softmax, MatMul", ONE),
    Case("hand_scaled_q", A, "queries scaled instead", ONE),
    Case("hand_no_scale", A, "no scale (T5)", ONE),
    Case("hand_masked_fill", A, "`masked_fill` with -inf", ONE),
    Case("hand_where", A, "`torch.where` with -1e9", ONE),
    Case("hand_minus_10000", A, "an additive mask of -10000", ONE),
    Case("hand_mask_before_scale", A, "a mask added in front of the scale", ONE),
    Case("relative_bias", A, "a relative position bias (T5, Swin)", ONE),
    Case("alibi", A, "ALiBi", ONE),
    Case("bmm", A, "`torch.bmm` over heads", ONE),
    Case("einsum", A, "`torch.einsum`", ONE, gone=("Softmax", "Einsum")),
    Case("einsum_gqa", A, "`torch.einsum` with grouped heads", ONE, gone=("Softmax", "Einsum")),
    Case("fused_qkv", A, "one projection, `permute` and `unbind` (timm)", ONE),
    Case("split_qkv", A, "one projection, `split`, a buffer of `tril` (nanoGPT)", ONE),
    Case("repeat_kv", A, "keys repeated by `expand` (Llama)", ONE),
    Case("repeat_interleave", A, "keys repeated by `repeat_interleave`", ONE),
    Case("mqa", A, "one head of keys, broadcast", ONE),
    Case("one_head", A, "one head", ONE),
    Case("no_batch", A, "one head, matrices", ONE),
    Case("padding_additive", A, "a padding mask as `(1 - mask) * min` (BERT)", ONE),
    Case("padding_and_causal", A, "a padding mask and a causal one", ONE),
    Case("mha", A, "`nn.MultiheadAttention`", ONE, exporters=DYNAMO),
    Case("mha_weights", A, "the same with `need_weights`", ONE),
    Case("mha_sequence_first", A, "the same, sequence first", ONE, exporters=DYNAMO),
    Case("mha_cross", A, "the same over another sequence", ONE, exporters=DYNAMO),
    Case("mha_causal", A, "the same with `attn_mask`", ONE),
    Case("mha_padding", A, "the same with `key_padding_mask`", ONE),
    Case(
        "encoder_pre",
        A,
        "`nn.TransformerEncoderLayer`, norm first",
        {"Attention": 1, "LayerNormalization": 2, "Gelu": 1},
        exporters=DYNAMO,
    ),
    Case("encoder_post", A, "the same, norm last, ReLU", {"Attention": 1, "LayerNormalization": 2}, exporters=DYNAMO),
    Case(
        "decoder_pre",
        A,
        "`nn.TransformerDecoderLayer`, norm first",
        {"Attention": 2, "LayerNormalization": 3, "Gelu": 1},
        exporters=DYNAMO,
    ),
    Case("decoder_post", A, "the same, norm last, ReLU", {"Attention": 2, "LayerNormalization": 3}, exporters=DYNAMO),
)
NORMS = (
    Case("layer_norm", N, "`F.layer_norm`", LN),
    Case("layer_norm_module", N, "`nn.LayerNorm`", LN),
    Case("layer_norm_plain", N, "the same without gamma and beta", LN),
    Case("layer_norm_no_bias", N, "the same without beta", LN),
    Case("layer_norm_by_hand", N, "by mean and power", LN, REDUCED),
    Case("layer_norm_var", N, "by `var(unbiased=False)`", LN, REDUCED),
    Case("layer_norm_first", N, "over channels first (ConvNeXt)", LN, REDUCED),
    Case("layer_norm_permuted", N, "between two permutes", LN, REDUCED),
    Case("rms_norm", N, "`F.rms_norm`", RMS, REDUCED, DYNAMO),
    Case("rms_norm_module", N, "`nn.RMSNorm`", RMS, REDUCED, DYNAMO),
    Case("rms_norm_by_hand", N, "by `rsqrt` of the mean square (Llama)", RMS, REDUCED),
    Case("rms_norm_sqrt", N, "divided by `sqrt`", RMS, REDUCED),
    Case("rms_norm_gemma", N, "times 1 + weight (Gemma)", RMS, REDUCED),
    Case("rms_norm_power", N, "to the power -0.5", RMS, REDUCED),
    Case("group_norm", N, "`nn.GroupNorm`", GN, REDUCED),
    Case("group_norm_rows", N, "the same over rows", GN, REDUCED),
    Case("group_norm_plain", N, "without gamma and beta", GN, REDUCED),
    Case("instance_norm", N, "`nn.InstanceNorm2d`", GN, REDUCED),
    Case("instance_norm_rows", N, "`nn.InstanceNorm1d`", GN, REDUCED),
    Case("adaln", N, "adaLN: scale, shift and gate of a condition (DiT)", {**LN, "Swish": 1}),
    Case("layer_scale", N, "LayerScale", LN),
    Case("gelu", F, "`F.gelu`", {"Gelu": 1}, ("Erf",)),
    Case("gelu_tanh", F, "the same with `approximate='tanh'`", {"Gelu": 1}, ("Tanh",)),
    Case("gelu_by_hand", F, "by `erf`", {"Gelu": 1}, ("Erf",)),
    Case("gelu_new", F, "by `tanh` and a power (GPT-2)", {"Gelu": 1}, ("Tanh",)),
    Case("gelu_fast", F, "by `tanh` and products", {"Gelu": 1}, ("Tanh",)),
    Case("quick_gelu", F, "x * sigmoid(1.702 x) (CLIP)", {"Swish": 1}, ("Sigmoid",)),
    Case("silu", F, "`F.silu`", {"Swish": 1}, ("Sigmoid",)),
    Case("swiglu", F, "SwiGLU", {"Swish": 1}, ("Sigmoid",)),
    Case("geglu", F, "GeGLU of one projection", {"Gelu": 1}, ("Erf",)),
)
ROPE = {"Attention": 1, "RotaryEmbedding": 2}
TURNED = ("Softmax", "Neg", "Cos")
ROTARY = (
    Case("rope_half", R, "`x * cos + rotate_half(x) * sin` (Llama)", ROPE, TURNED),
    Case("rope_half_over_heads", R, "the same with heads behind the sequence", ROPE, TURNED),
    Case("rope_every_two", R, "`x * cos + rotate_every_two(x) * sin` (GPT-J)", ROPE, TURNED),
    Case("rope_by_parts", R, "`cat(x1 * cos - x2 * sin, x2 * cos + x1 * sin)`", ROPE, TURNED),
    Case("rope_by_pairs", R, "the same by pairs, `stack` and `flatten`", ROPE, TURNED),
    Case("rope_partial", R, "over the first channels of a head", ROPE, TURNED),
    Case("rope_positions", R, "angles of position numbers, an input", ROPE, ("Softmax", "Neg")),
    Case("rope_positions_every_two", R, "the same by pairs", ROPE, ("Softmax", "Neg"), DYNAMO),
    Case("rope_table", R, "rows of tables by position numbers", ROPE, ("Softmax", "Neg")),
    Case("qk_norm", R, "LayerNorm of queries and keys", {**ROPE, "LayerNormalization": 2}, TURNED),
    Case("qk_rms_norm", R, "RMSNorm of queries and keys", {**ROPE, "RMSNormalization": 2}, TURNED, DYNAMO),
    Case("qk_norm_behind", R, "norms behind the Transpose to heads", {**ONE, "LayerNormalization": 2}),
)
CASES = (*ATTENTION, *NORMS, *ROTARY)
