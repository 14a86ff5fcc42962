"""Hardware configs: one TOML file per machine, every parameter present, derived sizes computed.

`load("u50")` reads a config that ships here, `load("my.toml")` one of yours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vla_isa.documents import read_toml
from vla_isa.errors import ConfigError, did_you_mean
from vla_isa.generated.codes import ACT_WORDS, PARAM_WORDS, WEIGHT_WORDS

__all__ = ["BANKS", "BEAT_BYTES", "HEAP_BYTES", "LINE_BYTES", "HardwareConfig", "from_dict", "load", "names"]

BANKS = 16  # activation scratchpad banks: bank = word address mod 16
BEAT_BYTES = 32  # one AXI beat, 256 bits
LINE_BYTES = 64  # unit of data-space addresses
HEAP_BYTES = 65536  # the first instruction heap, at data-space address 0

_CONFIG_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class HardwareConfig:
    """The parameters of one machine. Sizes are in words of the memory they describe.

    Attributes:
        name: what `--config` takes.
        pixels: PP, output pixels computed at once.
        block: B, channels of a channel block; the array is PP x B x B.
        requant_pixels: pixels requantized per cycle (B channels each).
        act_words: activation scratchpad, words of B bytes.
        weight_words: weight scratchpad, words of B*B bytes.
        param_words: parameter memory, words of 8*B bytes (the records of one channel block).
        weight_masters, in_masters, out_masters: AXI masters of 256 bits.
        queue_depth: packets each of the five queues holds.
        clock_mhz: the clock that cycles are turned into milliseconds with.
    """

    name: str
    pixels: int
    block: int
    requant_pixels: int
    act_words: int
    weight_words: int
    param_words: int
    weight_masters: int
    in_masters: int
    out_masters: int
    queue_depth: int
    clock_mhz: int

    def __post_init__(self) -> None:
        """Check ranges and relations."""

        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ConfigError(f"hardware config '{self.name}': {what}")

        for key, value in asdict(self).items():
            if key != "name":
                need(
                    isinstance(value, int) and not isinstance(value, bool) and value > 0,
                    f"{key} must be a positive integer, found {value!r}",
                )
        need(self.block in (8, 16), f"block must be 8 or 16, found {self.block}")
        need(self.pixels in (2, 4, 8), f"pixels must be 2, 4 or 8, found {self.pixels}")
        need(
            self.requant_pixels in (2, 4, 8) and self.requant_pixels <= self.pixels,
            f"requant_pixels must be 2, 4 or 8 and at most pixels ({self.pixels}), found {self.requant_pixels}",
        )
        for key, limit in (("act_words", ACT_WORDS), ("weight_words", WEIGHT_WORDS), ("param_words", PARAM_WORDS)):
            value = getattr(self, key)
            need(
                value & (value - 1) == 0 and 64 <= value <= limit,
                f"{key} must be a power of two from 64 to {limit}, found {value}",
            )
        beats = self.weight_word_bytes // BEAT_BYTES
        need(
            self.weight_masters <= beats and beats % self.weight_masters == 0,
            f"weight_masters must divide the {beats} beats of a weight word, found {self.weight_masters}",
        )
        need(self.in_masters in (1, 2), f"in_masters must be 1 or 2, found {self.in_masters}")
        need(self.out_masters in (1, 2), f"out_masters must be 1 or 2, found {self.out_masters}")
        need(
            2 <= self.queue_depth <= 16 and self.queue_depth & (self.queue_depth - 1) == 0,
            f"queue_depth must be 2, 4, 8 or 16, found {self.queue_depth}",
        )

    @property
    def act_word_bytes(self) -> int:
        """Bytes of an activation word: one channel block of one pixel."""
        return self.block

    @property
    def weight_word_bytes(self) -> int:
        """Bytes of a weight word: one B x B weight block."""
        return self.block * self.block

    @property
    def param_word_bytes(self) -> int:
        """Bytes of a parameter word: B records of 8 bytes."""
        return 8 * self.block

    @property
    def macs_per_cycle(self) -> int:
        """Peak multiply-accumulates per cycle."""
        return self.pixels * self.block * self.block

    def to_dict(self) -> dict[str, Any]:
        """All parameters, as the TOML file states them."""
        return asdict(self)


def names() -> tuple[str, ...]:
    """Names of the configs that ship here."""
    return tuple(sorted(p.stem for p in _CONFIG_DIR.glob("*.toml")))


def from_dict(values: dict[str, Any], origin: str) -> HardwareConfig:
    """Build a config from parsed values; `origin` is named in errors.

    Raises:
        ConfigError: a missing or unknown key, or a value outside its range.
    """
    known = [f.name for f in fields(HardwareConfig)]
    unknown = sorted(set(values) - set(known))
    missing = [k for k in known if k not in values]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ConfigError(f"{origin}: unknown key {', '.join(map(repr, unknown))}.{hint}")
    if missing:
        raise ConfigError(f"{origin}: missing key {', '.join(map(repr, missing))}; every parameter must be given")
    if not isinstance(values["name"], str) or not values["name"]:
        raise ConfigError(f"{origin}: name must be a non-empty string, found {values['name']!r}")
    return HardwareConfig(**values)


def load(name: str | Path) -> HardwareConfig:
    """Load a shipped config by name, or a TOML file by path.

    Raises:
        ConfigError: unknown name, unreadable file or bad content.
    """
    text = str(name)
    path = Path(text) if text.endswith(".toml") else _CONFIG_DIR / f"{text}.toml"
    if not text.endswith(".toml") and text not in names():
        raise ConfigError(
            f"unknown hardware config '{text}'; there are {', '.join(names())}, or give a .toml file."
            + did_you_mean(text, names())
        )
    try:
        values = read_toml(path)
    except (OSError, ValueError) as e:
        raise ConfigError(f"hardware config '{text}' cannot be read: {e}") from e
    return from_dict(values, f"hardware config '{text}'")
