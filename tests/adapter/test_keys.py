import numpy as np
import pytest

import cellflow as cf
from cellflow.adapter.bases import basis_of, find_basis
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import require_free, written
from cellflow.errors import InputError, MissingKeyError
from conftest import quick_recipe

BAD_NAMES = ["a/b", "/", "", " ", ".", "..", "x" * 300, "tab\t", "\0", ("a",), None, 3]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda n: repr(n)[:12])
def test_names_that_no_file_can_hold(name):
    with pytest.raises(
        InputError, match=r"cannot be a key_added: .*Expected (a string|1 to 100)"
    ) as caught:
        Keys(name)
    assert len(str(caught.value)) < 300


def test_default_names_are_those_that_other_tools_read():
    keys = Keys()
    assert (keys.uns, keys.time, keys.time_inferred, keys.trajectory) == (
        "cellflow",
        "cf_time",
        "cf_time_inferred",
        "cf_trajectory",
    )
    assert (
        keys.velocity(),
        keys.velocity("umap"),
        keys.expression,
        keys.velocity_genes,
        keys.velocity_params,
    ) == (
        "velocity",
        "velocity_umap",
        "Ms",
        "velocity_genes",
        "velocity_params",
    )


def test_two_names_share_no_key():
    def names(keys):
        own = {keys.uns, keys.time, keys.time_inferred, keys.trajectory, keys.own("age")}
        return own | {
            keys.velocity(),
            keys.velocity("pca"),
            keys.expression,
            keys.velocity_genes,
            keys.velocity_params,
        }

    assert not names(Keys()) & names(Keys("second"))
    assert all(name.startswith("second") for name in names(Keys("second")))


@pytest.mark.parametrize(
    ("asked", "found"),
    [("umap", "X_umap"), ("X_umap", "X_umap"), ("spatial", "spatial"), ("X_spatial", "spatial")],
)
def test_bases_in_both_spellings(cells, asked, found):
    cells.obsm["spatial"] = cells.obsm["X_umap"]
    assert find_basis(cells, asked) == found
    assert basis_of(found) in {"umap", "spatial"}


@pytest.mark.parametrize("asked", ["umpa", None, 3, ""])
def test_a_basis_that_is_not_there(cells, asked):
    with pytest.raises(MissingKeyError, match=r"adata\.obsm; found \['X_pca', 'X_umap'\]"):
        find_basis(cells, asked)


def test_other_peoples_keys_are_not_replaced(cells, frozen):
    keys = Keys()
    cells.obs["cf_time"] = 1.0
    with (
        frozen(cells),
        pytest.raises(InputError, match=r"adata\.obs\['cf_time'\] exists .* overwrite=True"),
    ):
        require_free(cells, keys, [("obs", "cf_time")], overwrite=False)
    require_free(cells, keys, [("obs", "cf_time")], overwrite=True)
    require_free(cells, keys, [("obs", "cf_age")], overwrite=False)
    cells.uns["cellflow"] = {
        "cellflow_version": "0",
        "kind": "fit",
        "written": np.array(["obs/cf_time", "obsm/velocity_a/b"]),
    }
    assert written(cells, keys) == {
        ("obs", "cf_time"),
        ("obsm", "velocity_a/b"),
        ("uns", "cellflow"),
    }
    require_free(cells, keys, [("obs", "cf_time"), ("uns", "cellflow")], overwrite=False)


def test_the_remedy_is_one_that_the_call_has(fitted, frozen):
    """`cf.tl.flow` names its keys by `key_added=`; the questions to a fit have `key=`, which names
    the fit.
    """
    fitted.obsm["velocity_pca"] = np.zeros((90, 4))
    fitted.uns["mine"] = {}
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"under key_added='mine'\. .*: pass another key_added=, delete it"
        ),
    ):
        cf.tl.flow(fitted, "hours", key_added="mine")
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"under key='cellflow'\. .*: delete it, pass overwrite=True"
        ) as said,
    ):
        cf.tl.velocity(fitted)
    assert "fit under another key (cf.tl.flow) and pass that as key=" in str(said.value)
    cf.tl.flow(fitted, "hours", key_added="other", method=quick_recipe())
    cf.tl.velocity(fitted, key="other")  # as the message says
    assert not fitted.obsm["velocity_pca"].any()


def test_a_record_that_is_not_ours(cells):
    cells.uns["cellflow"] = "mine"
    assert written(cells, Keys()) == set()
    with pytest.raises(InputError, match=r"adata\.uns\['cellflow'\] exists"):
        require_free(cells, Keys(), [("uns", "cellflow")], overwrite=False)
