import numpy as np
import pandas as pd
import pytest

from cellflow.errors import InputError
from cellflow.metrics import composition_error


def test_shares_and_their_total_variation():
    found = composition_error(["a", "a", "b", "c"], ["c", "d"])
    assert found.labels == ("a", "b", "c", "d")
    np.testing.assert_allclose(found.x, [0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(found.y, [0.0, 0.0, 0.5, 0.5])
    assert found.error == pytest.approx(0.75)


def test_zero_on_itself_one_where_nothing_is_shared_and_symmetric():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 50), rng.integers(1, 6, 30)
    assert composition_error(x, rng.permutation(x)).error == pytest.approx(0.0, abs=1e-15)
    assert composition_error(["a"], ["b"]).error == 1.0
    assert composition_error(x, y).error == pytest.approx(composition_error(y, x).error)


def test_a_weight_is_as_many_copies():
    x, copies = np.array(list("abca")), np.array([1, 2, 0, 3])
    weighted = composition_error(x, list("ab"), x_weight=copies)
    assert weighted.error == pytest.approx(
        composition_error(np.repeat(x, copies), list("ab")).error
    )


def test_categoricals_and_series():
    labels = pd.Series(["a", "b", "b"], dtype="category")
    assert composition_error(labels, labels.cat.categories[[0, 1]]).error == pytest.approx(1 / 6)
    assert composition_error(labels.cat.codes, [0, 1, 1]).error == 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y_label": []}, r"`y_label` has shape \(0,\)"),
        ({"y_label": ["a", None]}, r"`y_label` has no label for cell 1 \(1 in all\)"),
        ({"y_label": np.array(["a", np.nan, np.nan], dtype=object)}, r"cell 1 \(2 in all\)"),
        ({"y_label": ["a"], "x_weight": np.ones(3)}, "`x_weight` must be 2"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        composition_error(["a", "b"], **arguments)
