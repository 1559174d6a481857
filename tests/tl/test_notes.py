"""What calls say of what they added: by logging, and on a terminal."""

import contextlib
import io
import logging
import re

import numpy as np
import pytest
from cellflow.recipes import fm

import cellflow as cf
from conftest import make_cells, quick_recipe

CALLS = {
    "cf.tl.velocity": lambda a: cf.tl.velocity(a, basis="umap"),
    "cf.tl.trajectories": lambda a: cf.tl.trajectories(a, n_times=3),
    "cf.tl.fates": lambda a: cf.tl.fates(a, "half"),
    "cf.tl.potential": cf.tl.potential,
    "cf.get.transition_matrix": cf.get.transition_matrix,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(call, *args, **kwargs):
    """Lines that a call says where the standard output is a terminal."""
    with contextlib.redirect_stdout(Terminal()) as out:
        call(*args, **kwargs)
    return out.getvalue().splitlines()


def named(line):
    """(slot, key) of everything that a line names."""
    return re.findall(r"(\w+)\['([^']+)'\]", line)


def contents(adata):
    slots = ("obs", "var", "obsm", "obsp", "layers", "uns")
    return {(slot, key) for slot in slots for key in getattr(adata, slot)}


def test_three_lines_after_a_fit(cells, capsys):
    before = contents(cells)
    wrote, made, following = said(cf.tl.flow, cells, "hours", method=quick_recipe())
    assert wrote.startswith("cf.tl.flow wrote ")
    assert set(named(wrote)) == contents(cells) - before
    assert "'ot-cfm' (velocity) of 90 cells at 3 times, 0 to 48 hours, in 'X_pca' (4 dim" in made
    assert following.lstrip() == (
        "Next: cf.tl.velocity(adata, basis='umap'), cf.tl.trajectories(adata),"
        " cf.bench.holdout(adata, 'hours')."
    )
    assert capsys.readouterr().err == ""


def test_what_to_call_next_can_be_called(cells):
    """The calls are those of the key, and of what the fit can do."""
    lines = said(cf.tl.flow, cells, "hours", method=fm(training=quick_recipe().training))
    del cells.obsm["X_umap"]
    lines += said(cf.tl.flow, cells, "hours", method=quick_recipe(), key_added="other")
    lines = [line for line in lines if "Next" in line]
    calls = [call for line in lines for call in re.findall(r"cf\.[^)]*\)", line)]
    assert calls == [
        "cf.tl.generate(adata, time=48, n_obs=1000)",
        "cf.tl.velocity(adata, key='other')",
        "cf.tl.trajectories(adata, key='other')",
        "cf.bench.holdout(adata, 'hours')",
    ]
    for call in calls[:-1]:
        eval(call, {"cf": cf, "adata": cells})


def test_what_was_chosen_is_said():
    adata = make_cells()
    lines = said(cf.tl.flow, adata, "hours", method=quick_recipe(), growth="auto", n_members=2)
    chosen = adata.uns["cellflow"]["growth"]["assumption"]
    assert f"growth {chosen!r}" in lines[1]
    assert "2 flows by 'ot-cfm'" in lines[1]


@pytest.mark.parametrize("name", CALLS)
def test_one_line_names_what_a_call_wrote(fitted_as, name):
    adata = fitted_as("default")
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    before = contents(adata)
    entries = set(adata.uns["cellflow"])
    (line,) = said(CALLS[name], adata)
    assert line.startswith(f"{name} wrote ")
    new = contents(adata) - before
    assert new <= set(named(line)) <= contents(adata)
    inner = set(re.findall(r"uns\['cellflow'\]\['([^']+)'\]", line))
    assert set(adata.uns["cellflow"]) - entries - {"made_for", "written"} <= inner


def test_a_second_fit_says_what_it_removed(fitted_as):
    adata = fitted_as("default")
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.velocity(adata)
    cf.tl.fates(adata, "half")
    before = contents(adata)
    lines = said(cf.tl.flow, adata, "hours", method=quick_recipe())
    (line,) = [line for line in lines if "removed" in line]
    assert line.startswith("cf.tl.flow removed results of the former fit: uns['cellflow']['fates']")
    assert {"lineages_fwd", "velocity_pca"} <= {key for _, key in before - contents(adata)}
    named_here = set(named(line)) - {("uns", "cellflow")}
    assert named_here < before - contents(adata)
    n_more = int(re.search(r" and (\d+) more\.$", line).group(1))
    n_entries = line.count("uns['cellflow']")
    assert n_entries + len(named_here) == 8
    assert n_more + len(named_here) == len(before - contents(adata))
    assert not [line for line in said(cf.tl.flow, adata, "hours") if "removed" in line]


def test_new_fates_say_that_what_was_made_of_the_old_ones_is_removed(fitted_as):
    adata = fitted_as("default")
    adata.obs["half"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.fates(adata, "half")
    cf.tl.drivers(adata, "a")
    removed, _ = said(cf.tl.fates, adata, "half")
    assert removed == "cf.tl.fates removed what is out of date: uns['cellflow']['drivers']."


def test_the_log_names_the_plans_of_the_fit_and_not_those_of_candidates(caplog):
    with caplog.at_level(logging.DEBUG, logger="cellflow"):
        cf.tl.flow(make_cells(), "hours", method=quick_recipe(), growth="auto")
    plans = [r for r in caplog.records if r.getMessage().startswith("plan ") and " by " in r.msg]
    levels = [r.levelname for r in plans]
    assert levels.count("INFO") == 2
    assert levels.count("DEBUG") > 2


def test_logging_gets_the_same_lines_and_then_nothing_is_printed(fitted_as, caplog):
    adata = fitted_as("default")
    with caplog.at_level(logging.INFO, logger="cellflow"):
        lines = said(cf.tl.velocity, adata)
    assert [r.levelname for r in caplog.records if r.name == "cellflow.added"] == ["INFO"]
    assert not lines


def test_a_level_of_the_package_turns_the_lines_off(fitted_as, caplog):
    adata = fitted_as("default")
    with caplog.at_level(logging.WARNING, logger="cellflow"):
        lines = said(cf.tl.velocity, adata)
    assert not lines
    assert not caplog.records


def test_a_script_prints_nothing(fitted_as, capsys):
    cf.tl.velocity(fitted_as("default"))
    assert capsys.readouterr() == ("", "")
