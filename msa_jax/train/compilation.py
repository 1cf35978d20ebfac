"""Compiled programs are kept on disk, so that the same command starts in seconds when it is given again."""

import os
import warnings
from pathlib import Path

import jax


def keep_compiled_programs() -> Path | None:
    """Turns JAX's persistent compilation cache on, in the user's cache folder, and returns that folder.

    Who has chosen for themselves is left alone: by `JAX_COMPILATION_CACHE_DIR` or its option, or by
    `JAX_ENABLE_COMPILATION_CACHE=false`. A folder that cannot be written costs a warning, not the run.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir is not None:
        return Path(jax.config.jax_compilation_cache_dir)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msa_jax" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(f"compiled programs are not kept: {folder}: {error.strerror}", stacklevel=2)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX's own second leaves out the many small programs of a start, which together take longer than some large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder
