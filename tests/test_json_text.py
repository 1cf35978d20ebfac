"""JSON that comes from anywhere is what it says, or a ValueError."""

import pytest

from msa_jax import json_text


def test_json_is_what_it_says():
    assert json_text.parse('{"a": [1, -2.5, null, true, 18446744073709551616]}') == {"a": [1, -2.5, None, True, 2**64]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deep"),
        ("1" + "0" * 400, "a number of 401 digits"),
        ("1" * 5000, "a number of 5000 digits"),
        ("{", "Expecting"),
        (b"\xff\xfe\x00", "codec|Expecting|decode"),
    ],
)
def test_whatever_is_wrong_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        json_text.parse(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_of_python_are_read_unless_one_is_strict(constant):
    assert repr(json_text.parse(constant)) == repr(float(constant.replace("Infinity", "inf")))
    with pytest.raises(ValueError, match=f"holds {constant}"):
        json_text.parse(constant, strict=True)
