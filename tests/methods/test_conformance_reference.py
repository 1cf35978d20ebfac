"""Every method keeps to the protocol by its reference protocol too."""

import pytest

from msa_jax import methods
from msa_jax.methods import BUILT_IN
from msa_jax.testing import CHECKS
from msa_jax.testing import check as run_check
from tests.methods.conformance_kit import conformance

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled_quickly")]


def cases():
    for name in BUILT_IN:
        for check in CHECKS if methods.get(name).reference else ():
            if (name, check) == ("raven", "what moves"):
                continue  # as in the authors' code no gradient reaches its shift
            if check != "side by side":  # of default protocols alone
                yield pytest.param(name, check, id=f"{name}, {check}")


@pytest.mark.parametrize(("name", "check"), list(cases()))
def test_the_method_keeps_to_the_protocol_by_its_reference_protocol_too(name, check):
    run_check(conformance(name, "reference"), check)
