"""The page in the browser: `msa-jax app RUN`."""
