"""What policies share that say a chunk of actions at once: names, ensembling."""
