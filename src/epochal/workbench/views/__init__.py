"""Frozen values for the screens, made by pure functions."""
