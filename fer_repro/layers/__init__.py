"""Blocks that two or more papers define alike."""
