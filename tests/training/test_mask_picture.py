"""`vla-train mask`: what is drawn is the mask, in the colors of the legend."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from vla_models.attention_blocks import Block, allowed
from vla_models.registry import find_policy
from vla_training.cli import main

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, blocks: tuple[Block, ...]) -> np.ndarray:
    """The block number of each cell of the picture, -1 where it is white, by its own legend."""
    rects = ElementTree.fromstring(text).findall(f"{SVG}rect")
    legend = {r.get("fill"): number for number, r in enumerate(r for r in rects if r.get("width") == "14")}
    assert len(legend) == len(blocks)
    cells = [r for r in rects if r.get("class") == "seen"]
    x, y, width, height = (np.array([float(r.get(k, "")) for r in cells]) for k in ("x", "y", "width", "height"))
    count, cell = sum(block.count for block in blocks), height.min()
    found = np.full((count, count), -1)
    for number, rect in enumerate(cells):
        column, row = round((x[number] - x.min()) / cell), round((y[number] - y.min()) / cell)
        found[row : row + round(height[number] / cell), column : column + round(width[number] / cell)] = legend[
            rect.get("fill")
        ]
    return found


@pytest.mark.parametrize("name", ["pi_zero", "flow_autoregressive"])
def test_each_cell_has_the_color_of_the_type_that_is_seen(name: str) -> None:
    from vla_training.mask_picture import mask_picture

    config = find_policy(name).configured({"horizon": 5, "execute": 1})
    blocks = config.attention_blocks()
    types = np.repeat(np.arange(len(blocks)), [block.count for block in blocks])
    text = mask_picture(name, blocks)
    assert np.array_equal(drawn(text, blocks), np.where(allowed(blocks), types, -1))
    assert all(f">{block.name}: {block.count}" in text for block in blocks)
    assert len(re.findall("one by one", text)) == (name == "flow_autoregressive")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name has its default sizes, a saved policy its own."""
    import json

    said = {}
    (tmp_path / "saved").mkdir()
    config = {"type": "flow_autoregressive", "horizon": 3, "execute": 1}
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    (tmp_path / "saved" / "model.safetensors").touch()  # weights say nothing of the mask
    for policy in ("flow_autoregressive", str(tmp_path / "saved")):
        assert main(["mask", policy, "-o", str(tmp_path / "mask.svg")]) == 0
        said[policy] = capsys.readouterr().out
        ElementTree.parse(tmp_path / "mask.svg")
    assert "8 corners, 1 state, 16 actions, 32 tokens" in said["flow_autoregressive"]
    assert "8 corners, 1 state, 3 actions, 6 tokens" in said[str(tmp_path / "saved")]
    assert main(["mask", "act", "-o", str(tmp_path / "other.svg")]) == 1
    assert "'act' has no attention over tokens of several types; pi_zero," in capsys.readouterr().err
    assert not (tmp_path / "other.svg").exists()
