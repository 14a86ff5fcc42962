"""Policies of ours become folders that LeRobot loads: `vla-train export-lerobot` writes them, `plugin` plays them."""
