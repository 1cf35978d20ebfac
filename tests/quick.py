"""Compiling for tests, where a program runs once."""

import jax


def quick_jit(function):
    """Jit that compiles quickly instead of well."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})
