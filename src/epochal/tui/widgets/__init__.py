"""Widgets: each draws a frozen value and computes nothing it shows."""
