"""Training: the loop, what it reads, its engines, how a run is set up, started from weights, and expanded."""
