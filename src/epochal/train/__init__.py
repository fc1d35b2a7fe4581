"""Training: from a snapshot to a model. Imported only by host processes."""
