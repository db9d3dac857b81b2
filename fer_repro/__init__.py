"""Reproduce papers on facial expression recognition, and believe the result."""
