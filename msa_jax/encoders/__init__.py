"""Flax modules that turn one modality into vectors."""
