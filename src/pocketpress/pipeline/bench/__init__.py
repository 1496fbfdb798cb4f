"""Measure artifacts of a press on devices: what is measured, against what, and where the result is kept."""
