"""Waypoints from a frozen vision tower: where a car will be in five seconds, from a picture, its past and its route."""
