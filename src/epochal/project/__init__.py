"""The project folder: where things are, how they are read strictly and written so that a person's text survives."""
