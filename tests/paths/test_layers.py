"""A path prepared part by part is the path; bars show what is done before a training."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import cellflow as cf
from cellflow import paths
from cellflow.paths._layers import prepare
from cellflow.paths.base import Wrapper
from cellflow.paths.chain import Chains
from conftest import make_cells, quick_recipe
from examples import CURVED, PATHS


@pytest.fixture
def chains():
    rng = np.random.default_rng(0)
    snapshots = cf.Snapshots(
        tuple(cf.Population(rng.normal(size=(40, 21)) + t, float(t)) for t in (0, 1, 3))
    )
    return Chains(snapshots, [cf.couplings.Exact()(a, b) for a, b in snapshots.intervals])


@dataclass(frozen=True, eq=False)
class Shifted(Wrapper):
    """A correction of a user."""

    by: float = 1.0

    def prepared(self, chains):
        return Prepared(self.inner.prepared(chains), self.by)


@dataclass(frozen=True, eq=False)
class Prepared(Wrapper):
    by: float = 1.0

    def mean(self, t, pairs):
        return self.path.mean(t, pairs) + self.by


@pytest.mark.parametrize("name", [*PATHS, *CURVED, "of a user"])
def test_the_same_path_as_in_one_go(name, chains):
    path = Shifted(cf.recipes.curved_cfm().path) if name == "of a user" else (PATHS | CURVED)[name]
    path = paths.base.as_path(path).resolved(chains.snapshots.clock)
    pairs = chains[0].pairs
    t = pairs.t0 + 0.3 * (pairs.t1 - pairs.t0)
    once = path.prepared(chains)
    parts = prepare(path, chains)
    assert type(parts) is type(once)
    for what in ("mean", "std"):
        assert torch.equal(getattr(parts, what)(t, pairs), getattr(once, what)(t, pairs))


def shown(err):
    """Names of the bars, in their order, with the largest share that each reached."""
    found = {}
    for name, share in re.findall(r"(\w+): +(\d+)%", err):
        found[name] = max(found.get(name, 0), int(share))
    return found


def test_bars_over_growth_plans_paths_and_training(capsys):
    recipe = cf.recipes.curved_cfm(training=quick_recipe().training)
    cf.tl.flow(make_cells(), "hours", method=recipe, growth="learn", progress=True)
    err = capsys.readouterr().err
    assert shown(err) == {"growth": 100, "plans": 100, "paths": 100, "fit": 100}
    assert list(shown(err)) == ["growth", "plans", "paths", "fit"]
    assert "Unbalanced" in err
    assert "DensityCorrected" in err


def test_no_bars_where_none_are_wanted(capsys):
    recipe = cf.recipes.curved_cfm(training=quick_recipe().training)
    for progress in (None, False):  # a file is no terminal
        cf.tl.flow(make_cells(), "hours", method=recipe, growth="learn", progress=progress)
    assert capsys.readouterr() == ("", "")
