"""The words of epochal as frozen values and pure functions: standard library only."""
