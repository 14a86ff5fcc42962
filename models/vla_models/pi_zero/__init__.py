"""pi-zero style flow policy: experts of one joint attention over what is seen, the robot's state and its actions."""
