"""What a few short trainings show before a long one; every learner here is thrown away, and no test row is read."""
