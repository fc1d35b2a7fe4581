"""What predictions are worth: metrics with intervals, worst rows, slices."""
