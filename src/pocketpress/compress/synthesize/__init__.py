"""Inputs made from a network alone, for calibration when no data can be had."""
