"""The table of spellings: what each is called, and the canonical nodes that it becomes. Without PyTorch.

Not here: the modules (`*_modules.py`, by the same names).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CASES", "EXPORTERS", "HUGGING_FACE", "OTHER_OPSETS", "Case"]

# exporter and opset, as `torch.onnx.export` takes them
EXPORTERS = {
    "dynamo-18": {"dynamo": True, "opset_version": 18},
    "dynamo-23": {"dynamo": True, "opset_version": 23},
    "legacy-17": {"dynamo": False, "opset_version": 17},
}
OTHER_OPSETS = {f"dynamo-{n}": {"dynamo": True, "opset_version": n} for n in (17, 20, 21, 22, 24)}
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


MOVED = ("Softmax", "ReduceMean", "Erf", "Tanh", "Sigmoid", "Transpose")
MOVES = ("Softmax", "Transpose")
A, N, F, R = "attention", "norms", "activations", "rotary embeddings"
ONE = {"Attention": 1}
LN, RMS, GN = ({name: 1} for name in ("LayerNormalization", "RMSNormalization", "GroupNormalization"))
REDUCED = ("ReduceMean", "Sqrt", "Pow", "Reciprocal", "InstanceNormalization")
LENGTH = ("ReduceL2", "ReduceSum", "Sqrt", "Div", "Expand")
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
    Case("made_prefix", A, "keys of a prefix in the same graph, joined with `cat`", ONE, gone=MOVES),
    Case("made_prefix_shared", A, "the same in three blocks, heads of keys shared", ONE, gone=MOVES),
    Case("one_head", A, "one head", ONE),
    Case("no_batch", A, "one head, matrices", ONE),
    Case("spatial_softmax", A, "where features are largest (a spatial softmax): constant queries and values", ONE),
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
    Case("unit_length", N, "`F.normalize`", RMS, LENGTH),
    Case("unit_length_by_norm", N, "divided by `norm` (CLIP)", RMS, LENGTH),
    Case("unit_length_unsqueezed", N, "divided by `linalg.vector_norm`", RMS, LENGTH),
    Case("unit_length_by_hand", N, "times `rsqrt` of the sum of squares", RMS, LENGTH),
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
    Case("rope_cache", R, "rotated keys behind those of earlier runs", ROPE, ("Softmax", "Neg", "Transpose")),
    Case("qk_norm", R, "LayerNorm of queries and keys", {**ROPE, "LayerNormalization": 2}, TURNED),
    Case("qk_rms_norm", R, "RMSNorm of queries and keys", {**ROPE, "RMSNormalization": 2}, TURNED, DYNAMO),
    Case("qk_norm_behind", R, "norms behind the Transpose to heads", {**ONE, "LayerNormalization": 2}),
)
E, K, X = "embeddings", "caches", "other"
ROW = {"Gather": 1}
STATE = (
    Case("embedding", E, "`nn.Embedding`", ROW, ("GatherND",)),
    Case("embedding_learned", E, "with learned positions", ROW, ("GatherND",)),
    Case("embedding_sinusoid", E, "with sinusoidal positions", ROW, ("GatherND", "Sin")),
    Case("embedding_rows", E, "`table[index]`", ROW, ("GatherND",)),
    Case("row_of_a_token", E, "`x[arange(1), tokens.argmax(-1)]`", {"Gather": 2, "ArgMax": 1}, ("GatherND",)),
    Case("cache", K, "`cat` of earlier keys and a new one", ONE, ("Softmax", "Concat")),
    Case("cache_grouped", K, "the same with grouped heads", ONE, ("Softmax", "Concat")),
    Case("cache_several", K, "several new ones, causal", ONE, ("Softmax", "Concat")),
    Case("cache_rows", K, "heads behind the sequence", {**ONE, "Concat": 2}),
    Case("cache_written", K, "`index_copy` at a position", {**ONE, "TensorScatter": 2}, ("Softmax", "ScatterND")),
    Case("prefix_keys", K, "computed keys of a prefix", {**ONE, "Concat": 2}),
    Case("argmax_router", X, "a router by `argmax`", {"ArgMax": 1, **ROW}),
    Case("topk_router", X, "a router by `topk`", {"TopK": 1}, ()),
    Case("lstm_cell", X, "`nn.LSTMCell`", {"Sigmoid": 3}, ()),
    Case("gru_cell", X, "`nn.GRUCell`", {"Sigmoid": 2}, ()),
)

M = "mixtures of experts"
CHOSEN = {"ArgMax": 1}
ALL = ("GatherND", "ScatterElements", "OneHot", "Equal", "TopK", "Concat", "Where")
GATES, NONE = {"TopK": 1, "Softmax": 1, "ScatterElements": 1}, ("OneHot", "Equal", "Where", "ReduceSum", "Einsum")
EVERY = tuple(EXPORTERS)
CORRECTED = {"TopK": 1, "Sigmoid": 1, "GatherElements": 1, "ScatterElements": 1, "MatMul": 5, "ReduceSum": 1}
SCORES, SHARES = {"TopK": 1, "Sigmoid": 1, "ScatterElements": 1, "MatMul": 5}, {"ReduceSum": 1}
NO_SHARE = ("OneHot", "Equal", "Where", "Softmax")
MIXTURES = (
    Case("expert_gathered", M, "`torch.bmm` with `w[router(t).argmax(-1)]`", {**CHOSEN, "Gather": 2, "Gemm": 2}, ALL),
    Case("expert_functional", M, "`F.linear` with `w[router(t)[0].argmax()]`", {**CHOSEN, "Gemm": 2}, ALL),
    Case("expert_convolution", M, "`F.conv2d` with `torch.index_select`", {**CHOSEN, "Gather": 2, "Conv": 1}, ALL),
    Case("expert_scattered", M, "all experts times a mask by `scatter`", {**CHOSEN, "Gather": 2, "Conv": 1}, ALL),
    Case("expert_layers", M, "routers of several layers in one, by `scatter`", {"ArgMax": 2, "Conv": 2}, ALL),
    Case("expert_one_hot", M, "the same by `F.one_hot`", {**CHOSEN, "Gather": 4, "Gemm": 3}, ALL),
    Case("expert_equal", M, "the same by `number == e`", {**CHOSEN, "Gather": 2, "Conv": 1}, ALL),
    *(
        Case(f"tokens_{name}", M, what, GATES | {"MatMul": products}, NONE, exporters)
        for name, what, products, exporters in (
            ("scattered", "tokens: `topk` of `softmax`, divided by the sum, `scatter`", 5, EVERY),
            ("plain", "the same without the division", 5, EVERY),
            ("looked_up", "`softmax(logits).gather` by `topk` of the logits, divided by the sum", 5, EVERY),
            ("looked_up_plain", "the same by `topk` of the shares, not divided", 5, EVERY),
            ("chosen", "`softmax` of the chosen logits", 5, EVERY),
            ("one_hot", "`F.one_hot` times weights", 5, EVERY),
            ("masked", "`softmax` of logits, those not chosen at -inf", 5, DYNAMO),
            ("each", "`(weights * (index == e)).sum(-1)` times expert e", 5, EVERY),
            ("stacked", "`torch.stack` of all experts times gates", 5, EVERY),
            ("einsum", "stacked weights by `torch.einsum`", 5, EVERY),
            ("matmul", "stacked weights by `@`", 5, EVERY),
        )
    ),
    Case("tokens_scores", M, "`topk` of `sigmoid`, divided by the sum, `scatter`", SCORES | SHARES, NO_SHARE),
    Case("tokens_each_score", M, "the same, `(weights * (index == e)).sum(-1)`", SCORES | SHARES, NO_SHARE),
    Case("tokens_corrected", M, "`scores + bias` for the choice (DeepSeek-V3), `scores.gather`", CORRECTED, NO_SHARE),
    Case("tokens_each_corrected", M, "the same, `(weights * (index == e)).sum(-1)`", CORRECTED, NO_SHARE),
    Case("tokens_raw_scores", M, "the same without the division", SCORES, NO_SHARE),
    Case("tokens_flat", M, "over a matrix of tokens, with a shared expert", GATES, NONE),
    Case("expert_picked", M, "`torch.stack` of all experts by number", {**CHOSEN, "Gemm": 3}, ALL),
)

G = "Hugging Face"
BLOCK = {**ONE, "LayerNormalization": 3}
RMS_BLOCK = {**ONE, "RMSNormalization": 3}
ROPE_BLOCK = {**RMS_BLOCK, "RotaryEmbedding": 2}
PARTS = ("Softmax", "ReduceMean", "Erf", "Tanh", "Sigmoid", "Neg", "Cos", "Transpose", "GatherND")
PATCHES = PARTS[:-2]  # those of an image are moved behind their convolution
HUGGING_FACE = (
    Case("hf_vit", G, "ViT", {**BLOCK, "Gelu": 1}, PATCHES),
    Case("hf_vit_eager", G, "ViT, eager", {**BLOCK, "Gelu": 1}, PATCHES),
    Case("hf_siglip", G, "SigLIP, vision", {**BLOCK, "Gelu": 1}, PATCHES),
    Case(
        "hf_siglip_head", G, "SigLIP, vision, its head", {"Attention": 2, "LayerNormalization": 4, "Gelu": 2}, PATCHES
    ),
    Case("hf_clip_text", G, "CLIP, text", {**BLOCK, "Swish": 1}, PARTS),
    Case(
        "hf_clip_text_pooled",
        G,
        "CLIP, text, its pooled result",
        {**BLOCK, "Swish": 1, "ArgMax": 1, "Gather": 2},
        PARTS,
    ),
    Case("hf_clip_text_eager", G, "CLIP, text, eager", {**BLOCK, "Swish": 1}, PARTS),
    Case("hf_bert", G, "BERT, MiniLM, with a padding mask", {**BLOCK, "Gelu": 1}, PARTS),
    Case("hf_bert_eager", G, "the same, eager", {**BLOCK, "Gelu": 1}, PARTS),
    Case("hf_roberta", G, "RoBERTa (positions counted from a padding mask)", BLOCK, PARTS[:2], DYNAMO),
    Case("hf_gpt2", G, "GPT-2", {**BLOCK, "Gelu": 1}, PARTS, DYNAMO),
    Case("hf_gpt2_eager", G, "GPT-2, eager", {**BLOCK, "Gelu": 1}, PARTS, DYNAMO),
    Case("hf_gpt2_past", G, "GPT-2, keys of earlier runs", {**BLOCK, "Gelu": 1}, PARTS, DYNAMO),
    Case("hf_opt", G, "OPT, with a padding mask", {**BLOCK, "Relu": 1}, PARTS),
    Case("hf_llama", G, "Llama", {**ROPE_BLOCK, "Swish": 1}, PARTS, DYNAMO),
    Case("hf_llama_eager", G, "Llama, eager, with a padding mask", {**ROPE_BLOCK, "Swish": 1}, PARTS),
    Case("hf_llama_past", G, "Llama, keys of earlier runs", {**ROPE_BLOCK, "Swish": 1}, PARTS, DYNAMO),
    Case("hf_gemma", G, "Gemma", {**ROPE_BLOCK, "Gelu": 1}, PARTS, DYNAMO),
    Case("hf_gemma_past", G, "Gemma, keys of earlier runs", {**ROPE_BLOCK, "Gelu": 1}, PARTS, DYNAMO),
    Case("hf_gemma2", G, "Gemma 2, eager (a cap of logits)", {**ROPE_BLOCK, "RMSNormalization": 5}, PARTS[:3], DYNAMO),
    Case("hf_qwen2", G, "Qwen2, with a padding mask", {**ROPE_BLOCK, "Swish": 1}, PARTS),
    Case("hf_qwen3", G, "Qwen3 (QK-norm)", {**ROPE_BLOCK, "RMSNormalization": 5, "Swish": 1}, PARTS, DYNAMO),
    Case("hf_t5_encoder", G, "T5, encoder", {**RMS_BLOCK, "Relu": 1}, PARTS),
    Case("hf_t5_gated", G, "T5 1.1, encoder, with a padding mask", {**RMS_BLOCK, "Gelu": 1}, PARTS),
)
P = "blocks of policies"
LAYER = {**ONE, "LayerNormalization": 1}
BLOCKS = (
    Case("dit", P, "DiT block (adaLN-Zero)", {**ONE, "LayerNormalization": 2, "Gelu": 1, "Swish": 1}, MOVED),
    Case(
        "rdt",
        P,
        "cross attention with QK-RMSNorm over a padded condition",
        {**ONE, "RMSNormalization": 3},
        MOVED,
        DYNAMO,
    ),
    Case(
        "rdt_block",
        P,
        "RDT block",
        {"Attention": 2, "RMSNormalization": 7, "Gelu": 1},
        MOVED,
        DYNAMO,
    ),
    Case("dit_model", P, "DiT, two blocks", {"Attention": 2, "LayerNormalization": 5, "Gelu": 2}),
    Case(
        "smolvla_expert",
        P,
        "SmolVLA's action expert, a layer of joint and one of cross attention",
        {"Attention": 2, "RMSNormalization": 5, "RotaryEmbedding": 3, "Swish": 3},
        exporters=DYNAMO,
    ),
    Case("act", P, "positions added to queries and keys (DETR, ACT)", LAYER, MOVED),
    Case(
        "causal_decoder",
        P,
        "`nn.TransformerDecoderLayer` with `tgt_mask`",
        {"Attention": 2, "LayerNormalization": 3},
        MOVED,
    ),
    Case("stacked_encoder", P, "`nn.TransformerEncoder`", {"Attention": 2, "LayerNormalization": 5, "Gelu": 2}, MOVED),
    Case("windows", P, "windows of pixels with a bias (Swin)", ONE),
    Case("scale_per_head", P, "a learned scale for each head", ONE),
    Case("cosine_attention", P, "cosines of queries and keys (Swin V2)", {**ONE, "RMSNormalization": 2}, LENGTH[:4]),
    Case("attention_pool", P, "a learned query over all tokens", ONE),
    Case("image_attention", P, "pixels between convolutions (diffusers)", {**ONE, **GN}),
    Case("lrn", P, "`nn.LocalResponseNorm`", {"LRN": 1}, ("Pow", "Div")),
    Case("lstm", P, "`nn.LSTM`", {"LSTM": 1}),
    Case("gru", P, "`nn.GRU`", {"GRU": 1}),
)
CASES = (*ATTENTION, *NORMS, *ROTARY, *STATE, *MIXTURES, *BLOCKS)
