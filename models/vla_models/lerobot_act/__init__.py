"""ACT as LeRobot trains it, on images: a chunk of actions at once."""
