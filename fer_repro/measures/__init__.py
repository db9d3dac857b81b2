"""Pure numbers without torch: metrics, intervals, variance components, power, calibration."""
