"""What the Push-T policies share: names, what they see, and the robot's side."""
