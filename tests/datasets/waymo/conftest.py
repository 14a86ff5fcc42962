"""Tests of Waymo's set are left out where their extras are not installed (`pip install .[waymo,driving]`)."""

from importlib.util import find_spec

_NEEDS = {"test_*.py": "google_crc32c", "test_waymo_driven*.py": "panda3d", "test_waymo_import.py": "panda3d"}
collect_ignore_glob = [files for files, package in _NEEDS.items() if not find_spec(package)]
