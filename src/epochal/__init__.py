"""epochal: a terminal workbench for training models."""

__version__ = "0.1.0"
