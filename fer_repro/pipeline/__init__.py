"""Runs: one notebook, one training, the comparison of results with those in git."""
