"""Policies that LeRobot saved become policies of ours; LeRobot itself is not needed, and nothing of its code runs."""
