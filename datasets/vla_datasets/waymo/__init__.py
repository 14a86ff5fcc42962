"""Waymo's end-to-end driving set (WOD-E2E): its TFRecords read and written, its metrics, its submission.

A frame has eight pictures, four seconds of the car's past, where the route leads, and the five seconds that followed.
All files are taken to be from strangers. Not here: the prepared form (`lerobot/`).
"""
