"""Fitting a network: seeds, optimiser, checkpoints and the loop."""
