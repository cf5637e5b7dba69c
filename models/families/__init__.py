"""One file per family: 5-20 line functions that compose specs, and nothing else."""
