"""From the plan to packets, semaphores and the program."""
