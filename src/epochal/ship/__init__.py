"""The finished model in use: test and predict."""
