"""Families of models, one file each. Networks share `network.py`'s shape; trees learn in their own way."""
