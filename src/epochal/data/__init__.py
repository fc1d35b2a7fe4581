"""Sources, recipe, split and snapshot: everything DuckDB does. Only data hosts run what imports it."""
