"""Charts as text: figures are thinned, scaled in steps and drawn into cells with a role each.

Only `draw` uses plotext, and imports it when the first chart is drawn (0.2 s).
"""
