"""Screens: one for each stage, and what lies over them."""
