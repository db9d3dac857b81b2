"""From a trained network to predictions, numbers, intervals and result rows."""
