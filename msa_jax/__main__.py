"""`python -m msa_jax`, and where the command `msa-jax` begins."""

import sys

from msa_jax import signals


def main() -> int:
    """Runs the command of this process; what it imports takes its time, and signals are heeded from here on."""
    signals.take_over()
    from msa_jax.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
