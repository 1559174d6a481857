"""A network of the user's own that came through an AnnData is asked again in another process."""

import subprocess
import sys

import numpy as np
import pytest
from cellflow.recipes import Head

import cellflow as cf
from cellflow.objectives import velocity_matching
from conftest import quick_recipe

MODULE = """
import torch

print("imported", __name__)


class Outer:
    class Gated(torch.nn.Module):
        def __init__(self, dim, clock, *, gain=1.0):
            super().__init__()
            self.gain = gain
            self.linear = torch.nn.Linear(dim, dim)

        def forward(self, t, x):
            return self.gain * self.linear(x)
"""

ASK = """
import sys

sys.path.insert(0, {folder!r})
import anndata as ad
import numpy as np

import cellflow as cf

adata = ad.read_h5ad({file!r})
x = adata.obsm["X_pca"][:5]
try:
    cf.get.flow(adata)
except cf.errors.ModelFileError as error:
    print("refused:", error)
assert "own_networks" not in sys.modules

import own_networks

given = cf.get.flow(adata, fields={{"Gated": own_networks.Outer.Gated}}).velocity(x, 6.0)
np.testing.assert_array_equal(given, cf.get.flow(adata).velocity(x, 6.0))
np.save({out!r}, given)
cf.tl.velocity(adata)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_networks

    yield own_networks
    del sys.modules["own_networks"]


def test_it_is_asked_again_in_another_process(cells, module, tmp_path):
    from functools import partial

    head = Head(partial(module.Outer.Gated, gain=0.5), velocity_matching)
    cf.tl.flow(cells, "hours", method=quick_recipe().with_head("velocity", head))
    x = cells.obsm["X_pca"][:5]
    before = cf.get.flow(cells).velocity(x, 6.0)
    file, out = str(tmp_path / "cells.h5ad"), str(tmp_path / "answer.npy")
    cells.write_h5ad(file)
    code = ASK.format(folder=str(tmp_path), file=file, out=out)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused, imported = done.stdout.strip().splitlines()
    assert "own_networks:Outer.Gated" in refused
    assert "import own_networks first, or pass fields={'Gated': YourClass}" in refused
    assert imported == "imported own_networks"
    np.testing.assert_array_equal(np.load(out), before)


def test_another_class_of_the_name_is_used_only_where_it_is_passed(cells, module):
    class Gated(module.Outer.Gated):
        def forward(self, t, x):
            return 2 * super().forward(t, x)

    head = Head(module.Outer.Gated, velocity_matching)
    cf.tl.flow(cells, "hours", method=quick_recipe().with_head("velocity", head))
    x = cells.obsm["X_pca"][:5]
    once = cf.get.flow(cells).velocity(x, 6.0)
    twice = cf.get.flow(cells, fields={"Gated": Gated}).velocity(x, 6.0)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    with pytest.raises(cf.errors.InputError, match="network that cellflow does not have: Gated"):
        cf.tl.flow(
            cells,
            "hours",
            method=quick_recipe().with_head("velocity", Head(Gated, velocity_matching)),
        )
