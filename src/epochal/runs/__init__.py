"""Runs: started, found, steered and followed from any process."""
