"""Small Flax modules that several methods share."""
