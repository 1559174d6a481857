"""Every member of every family has an example, and every metric obeys what is true of all."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from cellflow.errors import InputError
from examples import EXAMPLES, METRICS, OTHERS, clouds, without_example


@pytest.mark.parametrize("family", EXAMPLES)
def test_every_member_has_an_example(family):
    module = import_module(f"cellflow.{family}")
    missing = without_example(family, module)
    assert not missing, "\n".join(missing)
    gone = (set(EXAMPLES[family]) | OTHERS[family]) - set(module.__all__)
    assert not gone, f"no longer in cellflow.{family}, so remove: {sorted(gone)}"


def test_a_member_without_an_example_is_named():
    family = SimpleNamespace(__all__=["Exact", "Unknown"])
    (message,) = without_example("couplings", family)
    assert "cellflow.couplings.Unknown has no example" in message


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_a_finite_number_that_does_not_depend_on_the_order_of_cells(name):
    x, y = clouds(60, 50)
    value = METRICS[name](x, y)
    assert np.isfinite(value)
    # The classifier splits cells at random, so that its folds depend on the order.
    tolerance = 0.1 if name == "c2st" else 1e-9
    assert METRICS[name](x[::-1], y[::-1]) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_refuses_clouds_of_different_dimensions(name):
    x, y = clouds()
    with pytest.raises(InputError):
        METRICS[name](x, y[:, :2])
