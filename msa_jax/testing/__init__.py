"""Does a method keep to the protocol? Checks that every method must pass, for those of msa_jax and of other packages.

    from msa_jax.testing import check_method

    def test_my_method():
        check_method(METHOD)

Everything runs on a dataset and a text encoder so small that a method takes seconds, most of them in the compiler.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method
from msa_jax.testing.checks import CHECKS
from msa_jax.testing.conformance import QUICK, Conformance
from msa_jax.testing.name_checks import trace_phases
from msa_jax.testing.tiny import WORDS, tiny_dataset

__all__ = ["CHECKS", "QUICK", "WORDS", "Conformance", "check", "check_method", "tiny_dataset", "trace_phases"]


def check_method(
    method: Method, options: Mapping[str, Any] | None = None, *, leave_out: Sequence[str] = ()
) -> tuple[str, ...]:
    """Checks that a method keeps to the protocol: names, shapes, padding, weights, precision, training, resumption.

    Args:
      method: registered or not.
      options: dotted names and values that differ from the method's defaults: smaller sizes make it quicker.
      leave_out: names in `CHECKS`; InputError if one is none.

    Returns:
      The names of the checks that were made.

    Raises:
      AssertionError: the method fails a check; the message names it. MethodError: it breaks the protocol. Every error of
        another kind has a note that names the check.
    """
    unknown = [name for name in leave_out if name not in CHECKS]
    if unknown:
        raise InputError(f"leave_out names {unknown[0]}; expected names of {', '.join(CHECKS)}")
    conformance = Conformance(method, options)
    made = tuple(name for name in CHECKS if name not in leave_out)
    for name in made:
        check(conformance, name)
    return made


def check(conformance: Conformance, name: str) -> None:
    """Makes one of `CHECKS`. Raises as `check_method`."""
    check = f"method {conformance.method.name}, {name}"
    try:
        CHECKS[name](conformance)
    except AssertionError as error:
        raise AssertionError(f"{check}: {error}") from error
    except Exception as error:
        error.add_note(check)
        raise
