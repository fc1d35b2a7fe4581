"""Training: a state and a step, families of models, preparation fitted on the training part, checkpoints, bundles."""
