"""Training: the loop, checkpoints, process groups, and the launch of several processes."""
