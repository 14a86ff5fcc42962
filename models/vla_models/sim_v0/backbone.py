"""The language model: from a folder as `transformers` saves it, or a small random one; never trained.

It comes from outside: nothing is fetched, weights are read from safetensors alone, and no code of the folder is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import nn

from vla_models.errors import PolicyError
from vla_models.outside_weights import finite_floats
from vla_models.sim_v0.config import SimV0Config
from vla_models.sim_v0.turn import turn

__all__ = ["Backbone", "backbone_id", "backbone_width", "random_backbone", "read_backbone"]

T = TypeVar("T")

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_KINDS = ("llama", "gpt2", "opt")  # others may look at later tokens too, or take rows of another form
_MASKS = (".attn.bias", ".attn.masked_bias")  # which older files of GPT-2 hold as well
_LAYER = re.compile(r"\b(?:layers|h)\.(\d+)\.")  # in a weight's name


class Backbone(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A decoder in evaluation mode for ever, so without dropout; gradients pass through it, and none stays in it.

    Args:
        model: of transformers.
        turned: write the rows of a Llama in other axes (`turn.py`).
    """

    def __init__(self, model: nn.Module, turned: bool = False) -> None:
        super().__init__()
        model.set_input_embeddings(nn.Identity())  # tokens come as rows: the table of words is of no use
        self.model, self.turned = model, turned
        if turned:
            there, back = turn(model)
            self.register_buffer("there", there)
            self.register_buffer("back", back)
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.register_forward_pre_hook(_nothing_to_zeros)
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """Ever in evaluation mode."""
        super().train(False)
        return self

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The last token's last hidden row (N, d), of tokens (N, T, d)."""
        rows = tokens @ self.there if self.turned else tokens
        found: torch.Tensor = self.model(inputs_embeds=rows, use_cache=False).last_hidden_state[:, -1]
        return found @ self.back if self.turned else found


def _nothing_to_zeros(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
    """No gradient to rows of zeros, which are tokens without pictures. A norm makes it hundreds of times larger there,
    and behind many layers it is infinite, for all tokens."""
    (rows,) = given
    if not (torch.is_grad_enabled() and rows.requires_grad):
        return None
    return (torch.where(rows.detach().any(dim=-1, keepdim=True), rows, rows.detach()),)


def read_backbone(folder: Path, layers: int, tokens: int) -> Backbone:
    """The first layers of a folder's language model.

    Raises:
        PolicyError: there is none that can be read, its weights are not those of its sizes, or no finite floats, it
            has fewer layers, or takes fewer tokens; or `transformers` is missing.
    """
    hf = _transformers()

    def read() -> Backbone:
        config = hf.AutoConfig.from_pretrained(folder, **_LOCAL)
        _check(config, layers, tokens)
        _check_files(folder)
        config.num_hidden_layers = layers
        hf.utils.logging.set_verbosity_error()  # it would list what is left out
        hf.utils.logging.disable_progress_bar()
        asked = {"use_safetensors": True, "dtype": torch.float32, "ignore_mismatched_sizes": True}  # they are told here
        model, found = hf.AutoModel.from_pretrained(folder, config=config, output_loading_info=True, **asked, **_LOCAL)
        _check_found(found, layers)
        return Backbone(model, turned=config.model_type == "llama")

    return _from_outside(folder, read)


def _check(config: Any, layers: int, tokens: int) -> None:
    if config.model_type not in _KINDS:
        raise ValueError(f"'model_type' is {config.model_type}; it must be one of {', '.join(_KINDS)}")
    if not 1 <= layers <= config.num_hidden_layers:
        raise ValueError(f"'layers' is {layers}, and it has {config.num_hidden_layers}")
    if config.max_position_embeddings < tokens:
        raise ValueError(f"it takes {config.max_position_embeddings} tokens, and {tokens} come")
    if getattr(config, "word_embed_proj_dim", config.hidden_size) != config.hidden_size:
        raise ValueError("'word_embed_proj_dim' is not 'hidden_size'; its tokens have another width than its rows")


def _check_files(folder: Path) -> None:
    """Refuse what the library would read as something else."""
    if (folder / "adapter_config.json").exists():
        raise ValueError("it has an adapter (adapter_config.json) beside the model; merge it, and save that model")
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                if not name.endswith(_MASKS):
                    finite_floats(f"{path.name}: {name}", file.get_tensor(name))


def _check_found(found: Mapping[str, Any], layers: int) -> None:
    """Refuse a model some of whose weights the library would draw at random, or leave out."""
    if wrong := sorted(found["mismatched_keys"]):
        name, there, wanted = wrong[0]
        raise ValueError(f"{name} is {[*there]} in its *.safetensors, and by the sizes in config.json {[*wanted]}")
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"its *.safetensors lack {len(missing)} of its weights, such as {missing[0]}")
    numbers = {name: _LAYER.search(name) for name in found["unexpected_keys"]}
    if more := sorted(name for name, at in numbers.items() if at is not None and int(at[1]) < layers):
        raise ValueError(f"its *.safetensors have {more[0]}, which a model of the sizes in config.json does not have")


def backbone_width(folder: Path) -> int:
    """Numbers of a token.

    Raises:
        PolicyError: as `read_backbone`.
    """
    hf = _transformers()
    return _from_outside(folder, lambda: int(hf.AutoConfig.from_pretrained(folder, **_LOCAL).hidden_size))


def backbone_id(folder: Path) -> str:
    """A digest of a folder's sizes and weights: another model says other things.

    Raises:
        PolicyError: a file is missing.
    """
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    if len(files) < 2:
        raise PolicyError(f"sim_v0: {folder} holds no language model: it has no *.safetensors beside config.json.")
    found = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise PolicyError(f"sim_v0: {folder} holds no language model: {error.strerror}.") from error
    return found.hexdigest()[:16]


def random_backbone(c: SimV0Config) -> Backbone:
    """One of the config's sizes, with weights from torch's current generator.

    Raises:
        PolicyError: `transformers` is missing.
    """
    hf = _transformers()
    tokens, words, spread = c.video_tokens + 2, 8, c.width**-0.5  # rows keep their size: small weights let little by
    if c.architecture == "gpt2":
        config = hf.GPT2Config(
            vocab_size=words,
            n_positions=tokens,
            n_embd=c.width,
            n_layer=c.layers,
            n_head=c.heads,
            initializer_range=spread,
        )
    else:
        sizes: dict[str, Any] = {
            "vocab_size": words,
            "max_position_embeddings": tokens,
            "hidden_size": c.width,
            "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads,
        }
        if c.architecture == "opt":
            config = hf.OPTConfig(**sizes, ffn_dim=4 * c.width, word_embed_proj_dim=c.width, init_std=spread)
        else:
            config = hf.LlamaConfig(**sizes, intermediate_size=2 * c.width, initializer_range=spread)
    return Backbone(hf.AutoModel.from_config(config))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise PolicyError(
            f"policy 'sim_v0' needs the package '{error.name}', which is not installed; "
            "pip install 'vla-toolchain[train,transformers]'"
        ) from error
    return transformers


def _from_outside(folder: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # whatever a file from outside makes the library do
        raise PolicyError(f"sim_v0: {folder} holds no language model that can be read: {error}"[:500]) from error
