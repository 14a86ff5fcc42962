"""Transformer blocks whose cycles are published: their shapes, useful work and targets. Not here: their graphs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FLOWS", "SHAPES", "ExpertShape", "FlowShape", "Shape"]


@dataclass(frozen=True)
class Shape:
    """A block; `least` is the share of the peak that one more block must reach, `most` the cycles that it may take.

    `keys` are the tokens of a condition, 0 without one.
    """

    length: int
    channels: int
    heads: int
    hidden: int
    causal: bool = False
    keys: int = 0
    least: float | None = None
    most: int | None = None

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        t, d = self.length, self.channels
        cross = 2 * t * d * (d + self.keys) if self.keys else 0
        return t * (4 * d * d + 2 * d * self.hidden) + 2 * t * t * d + cross


@dataclass(frozen=True)
class ExpertShape:
    """A block of an action expert: `rows` are the state and the actions, `prefix` the keys of images and words.

    Targets as those of `Shape`.
    """

    rows: int
    prefix: int
    width: int
    heads: int
    key_heads: int
    head: int
    hidden: int
    least: float | None = None
    most: int | None = None

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        layers = self.width * (2 * self.heads * self.head + 2 * self.key_heads * self.head + 3 * self.hidden)
        return self.rows * (layers + 2 * self.heads * self.head * (self.prefix + self.rows))


@dataclass(frozen=True)
class FlowShape:
    """A flow policy behind its prefix: all steps of the sampler over so many blocks of an expert."""

    block: ExpertShape
    blocks: int
    steps: int


SHAPES: dict[str, Shape | ExpertShape] = {
    "vit_s": Shape(197, 384, 6, 1536, least=0.92),
    "siglip_so400m": Shape(729, 1152, 16, 4304, least=0.90),
    "minilm": Shape(128, 384, 12, 1536, least=0.89),
    "gpt2_6": Shape(6, 768, 12, 3072, causal=True, most=32_000),
    "rdt_170m": Shape(67, 1024, 32, 1024, keys=4374, least=0.70),
    "pi_zero_expert": ExpertShape(51, 816, 1024, 8, 1, 256, 4096, least=0.88),
}
FLOWS = {"pi_zero_tiny": FlowShape(ExpertShape(17, 72, 64, 8, 1, 16, 128), 4, 10)}
