"""Modules that have another name than in 0.1.0 import by the old one as well, with a warning that
names the new one.
"""

import sys
from importlib import import_module

import pytest

import cellflow as cf
from cellflow.core._moved import MOVED


@pytest.fixture(autouse=True)
def _forget():
    """Old names as in a new process."""
    before = dict(sys.modules)
    for name in [*sys.modules]:
        if name.partition(".")[2].partition(".")[0] in MOVED and name.startswith("cellflow."):
            del sys.modules[name]
    for name in MOVED:
        vars(cf).pop(name, None)
    yield
    sys.modules.update(before)


@pytest.mark.parametrize("old", sorted(set(MOVED) - {"recipes"}))
def test_an_old_module_is_the_new_one(old):
    with pytest.warns(FutureWarning) as said:
        module = import_module(f"cellflow.{old}")
    assert f"cellflow.{old} is now cellflow.{MOVED[old]};" in str(said[-1].message)
    new = import_module(f"cellflow.{MOVED[old]}")
    assert module is new
    assert new.__name__ == new.__spec__.name == f"cellflow.{MOVED[old]}"


def test_a_module_below_an_old_name_is_the_new_one():
    with pytest.warns(FutureWarning, match=r"cellflow.benchmark is now"):
        from cellflow.benchmark.tasks import Cache
    from cellflow.evaluation import tasks

    assert Cache is tasks.Cache


def test_an_old_name_is_an_attribute_of_the_package():
    with pytest.warns(FutureWarning, match=r"cellflow.benchmark is now") as said:
        assert cf.benchmark is cf.evaluation
    assert said[0].filename == __file__


def test_recipes_stay_a_public_name_without_a_warning():
    from cellflow.recipes import ot_cfm

    from cellflow.model import recipes

    assert cf.recipes is recipes
    assert ot_cfm is recipes.ot_cfm
