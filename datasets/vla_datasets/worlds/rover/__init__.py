"""A rover among people, boxes, passages and bad ground, watched by a camera and an inertial unit."""
