"""Noise is normal and independent, and a function of seed, key, step and dimension only."""

import numpy as np
import pytest
from scipy.stats import kstest

from cellflow.errors import InputError
from cellflow.simulation._noise import normal_steps, philox


@pytest.mark.parametrize(
    ("counter", "key", "known"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, known):
    """Of the authors' library Random123, 4 x 32 bits, 10 rounds."""
    words = philox([np.array([w], np.uint64) for w in counter], [np.uint64(w) for w in key])
    assert [int(w[0]) for w in words] == list(known)


def drawn(seed, keys, n_steps, n_dims):
    return np.stack([z.numpy() for z in normal_steps(seed, keys, len(keys), n_steps, n_dims)])


def test_numbers_are_standard_normal():
    z = drawn(3, np.arange(500)[:, None], 40, 7)
    assert kstest(z.ravel(), "norm").pvalue > 0.01
    assert abs(z.mean()) < 4 / z.size**0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / z.size) ** 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_steps_cells_and_dimensions_are_independent(axis):
    z = np.moveaxis(drawn(0, np.arange(100)[:, None], 100, 9), axis, 0)
    n = z[1:].size
    assert abs((z[1:] * z[:-1]).mean()) < 4 / n**0.5
    assert abs((z[1:] ** 2 * z[:-1] ** 2).mean() - 1) < 4 * (8 / n) ** 0.5


def test_seeds_and_keys_give_other_noise():
    keys = np.array([[5, 0, 1]])
    one = drawn(1, keys, 3, 2)
    np.testing.assert_array_equal(one, drawn(1, [(5, 0, 1)], 3, 2))
    for seed, other in [(2, (5, 0, 1)), (1, (0, 5, 1)), (1, (5, 1, 0)), (1, (6, 0, 1))]:
        assert not np.isclose(one, drawn(seed, [other], 3, 2)).any()
    assert not np.isclose(one, drawn(1 + 2**40, keys, 3, 2)).any()


def test_rows_beyond_the_keys_are_zero():
    (z,) = normal_steps(0, [(1,)], 3, 1, 5)
    assert z[0].abs().min() > 0
    assert z[1:].abs().max() == 0


@pytest.mark.parametrize("keys", [[(1,), (1, 2)], [(-1,)], [("a",)], [1, 2]])
def test_unusable_keys_are_refused(keys):
    with pytest.raises(InputError, match="non-negative integers"):
        next(normal_steps(0, keys, 2, 1, 1))
