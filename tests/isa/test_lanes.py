"""Lanes of engines beside the array, where a count of banks or a walk says how fast they are."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_isa.banks import Banks, Beats, Result, banks_of
from vla_isa.lanes import Lanes, run

CYCLES = 384
ALONE: Banks = ()


def beats(words: NDArray[np.int64], **others: int) -> Beats:
    return Beats.of(words, all=True, **others)


def lane_words(first: int, count: int, lanes: int) -> NDArray[np.int64]:
    return first + np.arange(count)[:, None] * lanes + np.arange(lanes)


def paces(array: Banks, *engines: Beats) -> tuple[float, ...]:
    """Of engines beside an array that takes these banks over and over."""
    before = [Lanes(engine) for engine in engines]
    lanes = [engine.copied() for engine in before]
    run(lanes, array * -(-CYCLES // max(1, len(array))), (), CYCLES)
    return tuple(engine.pace(b) for engine, b in zip(lanes, before, strict=True))


def test_words_of_free_banks() -> None:
    """The array reads eight banks, which alternate in every cycle; who copies four words in a cycle gets 2 of 3."""
    words = beats(lane_words(0, 384, 4))
    assert paces(ALONE, words) == (1.0,)
    assert paces((0x00FF, 0xFF00), words)[0] == pytest.approx(2 / 3, abs=0.02)
    assert paces((0x00FF,), beats(np.full((384, 1), 3))) == (0.0,)  # a bank that is never free
    assert paces((0x00FF,), beats(np.full((384, 1), 12))) == (1.0,)


def test_a_lower_lane_comes_first() -> None:
    """Two engines want one bank: each word in the first one's order, what is left for the second."""
    one, other = beats(np.full((384, 1), 5)), beats(np.full((384, 1), 21))
    assert paces(ALONE, one, other) == (1.0, 0.0)
    assert paces(ALONE, one, one) == (1.0, 1.0)  # the same word is read once for both


def test_operands_with_walks_of_their_own() -> None:
    """Two pairs of lanes want the same banks in each beat: one walk goes a beat ahead, and then both take one a cycle.

    Lanes that ask together cannot: two beats take three cycles.
    """
    a = lane_words(0, 384, 2)
    words = np.concatenate([a, a + 512], axis=1)
    assert paces(ALONE, beats(words, walk=2))[0] == pytest.approx(1, abs=0.01)
    assert paces(ALONE, beats(words))[0] == pytest.approx(2 / 3, abs=0.01)


def test_a_word_that_all_beats_share_meets_each_bank_in_turn() -> None:
    """One walk reads pairs of consecutive words, the other the same word in every beat: once in eight beats both want
    its bank, and the second walk, which has a word a cycle at most, loses a cycle."""
    still = np.concatenate([lane_words(0, 384, 2), np.full((384, 2), 517)], axis=1)
    assert paces(ALONE, beats(still, walk=2))[0] == pytest.approx(8 / 9, abs=0.01)


def test_walks_that_are_together_at_windows_only() -> None:
    """Windows of four beats: the first walk waits for the array in one window, the second in the next.

    Each loses four cycles of eight in its turn, so both lose them where they are together in every beat as well; where
    they may go apart for longer than that, nothing is lost.
    """
    window = np.arange(48) // 4
    words = np.full((48, 2), 0)
    words[:, 0], words[:, 1] = np.where(window % 2 == 0, 1, 8), np.where(window % 2 == 0, 8, 1)
    array = (0b10, 0)
    together = Lanes(beats(words, walk=1))
    apart = Lanes(Beats.of(words, all=True, walk=1, windows=(0,) * 48))
    for engine in (together, apart):
        run([engine], array * 100, (), 200)
    assert apart.through and together.through and 48 + 20 <= apart.end <= together.end


def test_a_lane_alone_against_a_walk() -> None:
    """One lane whose engine takes a word in every cycle: each word waits for its bank to be free."""
    for seed in range(10):
        rng = random.Random(seed)
        array = tuple(rng.randrange(1 << 16) for _ in range(37))
        words = [rng.randrange(64) for _ in range(384)]
        granted, now = 0, 1
        while granted < len(words):
            granted += not array[now % 37] >> (words[granted] % 16) & 1
            now += 1
        engine = Lanes(beats(np.array(words)[:, None], depth=1000))
        run([engine], array * 100, (), 1500)
        assert engine.through and engine.end == now - 1, seed


def test_a_copy_goes_on_where_it_was() -> None:
    engine = Lanes(beats(lane_words(0, 200, 4)))
    array = (0x00FF, 0xFF00, 0)
    run([engine], array * 30, (), 90)
    other = engine.copied()
    run([other], array * 100, (), 300)
    whole = Lanes(beats(lane_words(0, 200, 4)))
    run([whole], array * 130, (), 390)
    assert engine.now == 90 and not engine.through and other.through and other.end == whole.end


def written(results: Banks) -> int:
    """When the work of ten beats is through, each of which gives a word of bank 3."""
    words = tuple(Result(beat, 5, False, (3 + 16 * beat,)) for beat in range(10))
    engine = Lanes(Beats.of(np.arange(10)[:, None] * 16, all=True, results=words))
    run([engine], (), results, 100)
    assert engine.through
    return engine.end


def test_results_wait_for_the_arrays() -> None:
    """Ten words in twenty cycles where each second one is the array's; work is through as late as the last of them.

    Alone the last one is written in cycle 20, behind a bank that is free from cycle 40 on in cycle 49.
    """
    assert written(()) == 10
    assert written((0b1000, 0) * 50) == pytest.approx(20, abs=1)
    assert written((0b0100, 0) * 50) == 10
    assert written((0b1000,) * 40) == 10 + 29


def test_steps_of_the_array() -> None:
    """Words of one bank come one behind another."""
    words = np.array([[[0, 1, 2], [0, 16, 1], [5, -1, -1]], [[3, -1, -1], [-1, -1, -1], [3, 3, -1]]])
    assert banks_of(words) == [[0b111, 0b11, 0b1, 1 << 5], [1 << 3, 0, 1 << 3]]
