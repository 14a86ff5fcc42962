"""docs/reference/spellings.md is what the table of spellings says."""

from pathlib import Path

from spellings_page import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "spellings.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page()
