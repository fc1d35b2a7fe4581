"""The run's append-only record of events: the only way anyone watches a run, live or finished."""
