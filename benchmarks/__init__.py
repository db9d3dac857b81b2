"""What the project's speed and memory are, measured beside something plain: ``python -m benchmarks``."""
