"""The snapshot: cleaned data, immutable, named by a hash of source fingerprints and recipe; the only thing training reads."""
