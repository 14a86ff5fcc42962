"""What the policies that LeRobot trained share: what they observe, the robot's side, the network that sees."""
