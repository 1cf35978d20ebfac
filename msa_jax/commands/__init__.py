"""The commands of `msa-jax`, one function for each: arguments in, something printed. Heavy packages are imported inside."""
