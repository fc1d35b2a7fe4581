"""Labels: the decisions of labellers."""
