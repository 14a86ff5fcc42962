"""Which bands are tried: the largest that fit are found, and few sizes are tried where the first guess is near."""

from types import SimpleNamespace

import pytest

from vlac.plan.banded import _first_that_fits

SIZES = [1024, 512, 368, 288, 240, 208, 192, 160, 144, 128, 112, 96, 80]
ROOM = 10_000  # words


def tried(largest, constant=0):
    """What is found and tried of SIZES where `largest` rows fit, with so many words beside those of the rows."""
    asked = []

    def placed(rows):
        asked.append(rows)
        words = constant + (ROOM - constant) * rows / largest
        return SimpleNamespace(rows=rows, used=words / ROOM) if words <= ROOM else None

    found = _first_that_fits(SIZES, placed)
    return None if found is None else found.rows, asked


@pytest.mark.parametrize("constant", [0, 3_000, 9_000])
@pytest.mark.parametrize("largest", [*range(60, 1100, 7), *SIZES])
def test_the_largest_that_fits_is_found(largest, constant):
    found, asked = tried(largest, constant)
    assert found == max((s for s in SIZES if s <= largest), default=None)
    assert len(asked) == len(set(asked)) <= 7


def test_the_guess_ends_the_search_where_words_grow_with_rows():
    assert tried(90) == (80, [1024, 80, 96])
    assert tried(100) == (96, [1024, 80, 112, 96])
