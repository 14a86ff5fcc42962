"""CARLA: the driving world on a CARLA server."""
