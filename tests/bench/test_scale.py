"""The scale belongs to the recipes; benchmarks accept it for one version."""

import pytest
from cellflow.recipes import DEFAULT, ot_cfm

import cellflow as cf
from cellflow.bench._recipes import SCALE_OF_RECIPES, SCALE_OF_TUNED
from cellflow.evaluation.candidates import METHODS


def test_every_recipe_gets_the_scale():
    def predictor(rest, time, *, random_state):
        return {}

    (made,) = SCALE_OF_RECIPES("scale", "each", {})["methods"]
    assert (made.name, made.scale) == (DEFAULT, "each")
    made = SCALE_OF_RECIPES("scale", "each", {"methods": ["i-cfm", ot_cfm(), predictor]})["methods"]
    assert [m.scale for m in made[:2]] == ["each", "each"]
    assert made[2] is predictor
    assert len(SCALE_OF_TUNED("scale", "none", {})["methods"]) == len(METHODS)


def test_the_old_spelling_warns_and_is_refused_like_the_new_one(cells):
    for call in (cf.bench.holdout, cf.bench.tune):
        with (
            pytest.warns(FutureWarning, match="scale=.*is now"),
            pytest.raises(cf.errors.InputError),
        ):
            call(cells, "hours", scale="each", methods="no-such")
