"""Driving: a town with lights, traffic and weather, in the place of a CARLA server."""
