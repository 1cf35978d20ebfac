"""`python -m msa_jax`, and where the command `msa-jax` begins."""

import sys


def main() -> int:
    """Runs the command of this process; what it imports takes its time, and signals are heeded from here on."""
    if sys.platform == "win32":  # which has none of the locks and signals that the rest needs
        sys.exit("msa-jax: Windows is not supported; Linux in WSL 2 is, see the quickstart")
    from msa_jax import signals

    signals.take_over()
    from msa_jax.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
