"""LeRobotDataset v3.0, the one prepared form of data: layout, reader, writer, statistics.

Not here: what a frame holds (`keys.py` and each world's `schema.py`), other forms of data.
"""
