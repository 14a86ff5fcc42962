"""Makes the shared helpers of this folder (bench.py, programs.py, random_packets.py) importable from its tests."""
