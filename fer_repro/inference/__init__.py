"""Use trained networks: load, predict, import of published checkpoints, export, model cards."""
