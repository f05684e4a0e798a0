"""What every training shares: the loop of steps, checkpoints, progress, averaged weights."""
