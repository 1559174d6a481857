import numpy as np
import pytest

from cellflow.core._numbers import as_count, as_flag, as_number
from cellflow.errors import InputError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_counts(value):
    assert as_count("n", value) == 3
    assert type(as_count("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None, [3], np.array([1, 2])])
def test_no_counts(value):
    with pytest.raises(InputError, match=r"^n=.*; expected a positive integer or None\.$"):
        as_count("n", value, remedy=" or None")


def test_counts_may_have_another_least():
    assert as_count("n", 0, least=0) == 0
    with pytest.raises(InputError, match="an integer of at least 2"):
        as_count("n", 1, least=2)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int16(3)])
def test_numbers(value):
    assert as_number("t", value) == 3.0
    assert type(as_number("t", value)) is float


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, "3", True, None, 1j, [3.0], np.array([1.0, 2.0])]
)
def test_no_numbers(value):
    with pytest.raises(InputError, match=r"^t=.*; expected a finite number in days\.$"):
        as_number("t", value, remedy=" in days")


def test_numbers_above():
    with pytest.raises(InputError, match="a finite number above 0"):
        as_number("t", 0.0, above=0)


def test_numbers_between_limits():
    assert as_number("t", 0.0, least=0.0, most=1.0) == 0.0
    assert as_number("t", 1, least=0.0, most=1.0) == 1.0
    for value in (0.0, 1.0):
        with pytest.raises(
            InputError, match=r"a finite number above 0 and below 1, such as 0\.4\.$"
        ):
            as_number("t", value, above=0.0, below=1.0, remedy=", such as 0.4")
    with pytest.raises(InputError, match="a finite number of at least 0 and of at most 2"):
        as_number("t", 3, least=0.0, most=2.0)


def test_flags():
    assert as_flag("f", np.bool_(True)) is True
    for value in (1, 0, "True", None):
        with pytest.raises(InputError, match="expected True or False"):
            as_flag("f", value)
