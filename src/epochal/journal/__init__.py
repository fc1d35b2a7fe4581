"""The journal: a run's append-only record, and the only way anyone watches one."""
