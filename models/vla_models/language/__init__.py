"""Sentences as rows of numbers: made once by a large encoder, kept in a folder, read in training and on the robot."""
