"""Blocks of Hugging Face's transformers, of small offline configs with random weights."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch_modules import Fn

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = {**SMALL, "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 32}
TOKENS = torch.tensor([[3, 7, 1, 9, 4, 2]])
PADDED = torch.tensor([[1, 1, 1, 1, 0, 0]])
SPREAD = 0.1  # of weights, about that of nn.Linear; the usual 0.02 leaves a block without influence
IMAGE = {"image_size": 16, "patch_size": 8}


def of(model: str, config: Any, inputs: dict[str, Any], attention: str = "sdpa", output: int = 0) -> Any:
    def make() -> Any:
        config._attn_implementation = attention
        config.initializer_range = SPREAD
        module = getattr(hf, model)(config)
        names = list(inputs)

        def forward(m: Any, *values: torch.Tensor) -> torch.Tensor:
            return m.module(**dict(zip(names, values, strict=True)), **fixed)[output]

        fixed = {"use_cache": False} if hasattr(config, "use_cache") else {}
        return Fn(forward, module=module), tuple(v() if callable(v) else v for v in inputs.values())

    return make


def with_past(model: str, config: Any, key_heads: int, d: int, new: int, past: int = 5) -> Any:
    """Token ids and the keys and values of earlier runs; those of all come back."""

    def make() -> Any:
        config._attn_implementation = "sdpa"
        config.initializer_range = SPREAD
        module = getattr(hf, model)(config)

        def forward(m: Any, tokens: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Any:
            cache = hf.DynamicCache(config=config)
            cache.update(keys, values, 0)
            found = m.module(input_ids=tokens, past_key_values=cache, use_cache=True)
            (layer,) = found.past_key_values.layers
            return found[0], layer.keys, layer.values

        caches = [torch.randn(1, key_heads, past, d) for _ in range(2)]
        return Fn(forward, module=module), (TOKENS[:, :new], *caches)

    return make


def pixels() -> torch.Tensor:
    return torch.randn(1, 3, 16, 16)


def siglip() -> Any:
    return hf.SiglipVisionConfig(**SMALL, **IMAGE)


def clip() -> Any:
    return hf.CLIPTextConfig(**SMALL, vocab_size=50, max_position_embeddings=16, eos_token_id=7)


def bert() -> Any:
    return hf.BertConfig(**SMALL, vocab_size=50, max_position_embeddings=16)


def roberta() -> Any:
    return hf.RobertaConfig(**SMALL, vocab_size=50, max_position_embeddings=16, pad_token_id=0)


def gemma2() -> Any:
    return hf.Gemma2Config(**LLAMA, head_dim=16, sliding_window=4)


def gpt2() -> Any:
    return hf.GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=50, n_positions=16)


def opt() -> Any:
    return hf.OPTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        ffn_dim=64,
        vocab_size=50,
        max_position_embeddings=16,
        word_embed_proj_dim=32,
    )


def t5() -> Any:
    return hf.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, vocab_size=50)


def gated_t5() -> Any:
    return hf.T5Config(
        d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, vocab_size=50, feed_forward_proj="gated-gelu"
    )


TEXT, MASKED = {"input_ids": TOKENS}, {"input_ids": TOKENS, "attention_mask": PADDED}
MODULES = {
    "hf_vit": of("ViTModel", hf.ViTConfig(**SMALL, **IMAGE), {"pixel_values": pixels}),
    "hf_vit_eager": of("ViTModel", hf.ViTConfig(**SMALL, **IMAGE), {"pixel_values": pixels}, "eager"),
    "hf_siglip": of("SiglipVisionModel", hf.SiglipVisionConfig(**SMALL, **IMAGE), {"pixel_values": pixels}),
    "hf_siglip_head": of(
        "SiglipVisionModel", hf.SiglipVisionConfig(**SMALL, **IMAGE), {"pixel_values": pixels}, output=1
    ),
    "hf_clip_text": of("CLIPTextModel", clip(), TEXT),
    "hf_clip_text_pooled": of("CLIPTextModel", clip(), TEXT, output=1),
    "hf_clip_text_eager": of("CLIPTextModel", clip(), TEXT, "eager"),
    "hf_bert": of("BertModel", bert(), MASKED),
    "hf_bert_eager": of("BertModel", bert(), MASKED, "eager"),
    "hf_roberta": of("RobertaModel", roberta(), MASKED),
    "hf_gpt2": of("GPT2Model", gpt2(), TEXT),
    "hf_gpt2_eager": of("GPT2Model", gpt2(), TEXT, "eager"),
    "hf_gpt2_past": with_past("GPT2Model", gpt2(), 4, 8, new=1),
    "hf_opt": of("OPTModel", opt(), MASKED),
    "hf_llama": of("LlamaModel", hf.LlamaConfig(**LLAMA), TEXT),
    "hf_llama_eager": of("LlamaModel", hf.LlamaConfig(**LLAMA), MASKED, "eager"),
    "hf_llama_past": with_past("LlamaModel", hf.LlamaConfig(**LLAMA), 2, 8, new=3),
    "hf_gemma": of("GemmaModel", hf.GemmaConfig(**LLAMA, head_dim=16), TEXT),
    "hf_gemma_past": with_past("GemmaModel", hf.GemmaConfig(**LLAMA, head_dim=16), 2, 16, new=1),
    "hf_gemma2": of("Gemma2Model", gemma2(), TEXT, "eager"),
    "hf_qwen2": of("Qwen2Model", hf.Qwen2Config(**LLAMA), MASKED),
    "hf_qwen3": of("Qwen3Model", hf.Qwen3Config(**LLAMA, head_dim=8), TEXT),
    "hf_t5_encoder": of("T5EncoderModel", t5(), TEXT, "eager"),
    "hf_t5_gated": of("T5EncoderModel", gated_t5(), MASKED, "eager"),
}
