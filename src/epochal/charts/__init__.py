"""Charts as cells: thinned, scaled in steps, drawn with plotext."""
