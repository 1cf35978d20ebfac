"""`python -m msa_jax`."""

import sys

from msa_jax.cli import main

sys.exit(main())
