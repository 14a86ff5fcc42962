"""Waymo's end-to-end set as our driving world would have recorded it: its format filled by an expert's drives.

What is written is no data of Waymo's, and a score on it is none there.
"""
