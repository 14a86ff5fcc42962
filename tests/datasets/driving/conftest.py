"""Tests that draw the driving world are left out where its extra is not installed (`pip install .[driving]`)."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("panda3d") else ["test_world.py"]
