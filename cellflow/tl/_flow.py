"""Fit a flow to the snapshots in an AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cellflow.adapter.aligned import with_samples
from cellflow.adapter.conditioned import read_conditioned, require_partners
from cellflow.adapter.decoding import fitted_decoder
from cellflow.adapter.fit_times import inferred_times
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import listed, require_free, written
from cellflow.adapter.predicted import predicted_cells
from cellflow.adapter.reading import Reading
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.tl._flow_words import say
from cellflow.tl._method import chosen, informed, prior_key, recipes_of, scale_of_recipe
from cellflow.tl._stored import places_of, record_of, staged_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.recipes import Recipe
    from cellflow.training import Callback

__all__ = ["flow"]


@guarded
@accepts(scale=scale_of_recipe("curved-cfm"))
def flow(
    adata: AnnData,
    time_key: str,
    *,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    method: str | Recipe | Sequence[str | Recipe] = "curved-cfm",
    score: bool = False,
    condition_key: str | Sequence[str] | None = None,
    shared_until: Time | None = None,
    weight_key: str | None = None,
    mass_key: str | None = None,
    growth: Literal["none", "prior", "learn", "auto"] = "none",
    growth_key: str | None = None,
    sample_key: str | None = None,
    align_samples: bool = True,
    lineage_key: str | None = None,
    lineage_strength: float = 1.0,
    n_members: int = 1,
    force_rep: bool = False,
    layer: str | None = None,
    key_added: str = DEFAULT,
    overwrite: bool = False,
    random_state: RandomState = 0,
    threads: int | Literal["auto"] = 1,
    device: str = "cpu",
    progress: bool | None = None,
    callback: Callback | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Fit a continuous dynamics to time-labelled cells.

    Consecutive snapshots are coupled once, by optimal transport of the whole populations. A
    velocity field is then regressed on paths between paired cells. A new fit under the same key
    replaces the old one and removes what was computed from it. On a terminal and in a notebook,
    three lines say what was added; `logging.getLogger("cellflow").setLevel("WARNING")` turns them
    off.

    Parameters
    ----------
    adata
        Cells with a representation and times.
    time_key
        Column of `adata.obs`: numbers, labels such as `"E8.5"`, `"48h"`, `"day 3"`, `"t10"`, a
        categorical of these, Timedelta or dates. Cells without a time take no part in the fit and
        are annotated afterwards.
    use_rep
        Representation in which the dynamics is learned: a key of `adata.obsm`, with or without
        `X_`, or `"X"` where there are few genes.
    n_dims
        Number of its leading dimensions; all by default.
    method
        Name of a recipe (`"curved-cfm"`, which did best on the benchmark sets, `"ot-cfm"`,
        `"i-cfm"`, `"sb-cfm"`, `"sf2m"`, `"vp-cfm"`), or a `cellflow.recipes.Recipe`. `"fm"`
        generates new cells from noise, for `cf.tl.generate`, and moves none. Of a list, the one
        that predicts held-out inner snapshots best is chosen, in up to two minutes, where fits that
        have begun are finished (see `cf.bench.tune`, which also chooses dimensions and has no such
        limit); `"auto"` is a list that begins with the default. With two snapshots no inner one can
        be held out, and the first is taken.
    score
        Learn the score of the population at every time and noise level beside the velocity, for
        stochastic trajectories, `cf.tl.refine` and `cf.tl.sample`. Training takes about four times
        as long. `"sf2m"` always has a score.
    condition_key
        Column of `adata.obs` with the condition of each cell (a drug, a donor, a dose), or several
        columns. Text and categoricals are kinds, numbers are amounts (make donors that are coded 1,
        2, 3 categorical). Cells are coupled within equal conditions only, so every condition must
        be present at both ends of an interval; the condition is an input of the field. Columns are
        encoded one by one, so that a combination that no cell has can be evaluated.
    shared_until
        With `condition_key`: the last time at which cells precede all conditions, such as a day 0
        before the treatment. These cells are coupled with the cells of every later condition, in
        each as cells of it, and can be moved in each (`condition=` of `cf.tl.push`). Their own
        value in the column is the condition of their velocity.
    weight_key
        Column of `adata.obs` with non-negative weights of the cells within their snapshot.
    mass_key
        Column of `adata.obs` with the size of the whole population, one positive number per
        snapshot. Rates of growth then are absolute; without it, populations are taken to be of one
        size, and rates are relative to the growth of the whole. The number of sequenced cells says
        nothing about the size. `"fm"` draws each snapshot by it.
    growth
        What is assumed about proliferation and death.

        - `"none"`: no cell grows; plans are balanced.
        - `"prior"`: rates of `growth_key` weight the cells before they are coupled.
        - `"learn"`: plans may leave the weights of cells (`couplings.Unbalanced` in place of the
          coupling of the method), so that cells stay within their lineage when the shares of cell
          types change. Of four strengths, that one is taken which predicts inner snapshots best;
          0.3 where none can be held out.
        - `"auto"`: the simplest of all of these that is within five percent of the best on inner
          snapshots, and at none of them more than five percent worse than balanced plans. With two
          snapshots, plans are balanced.

        With growth, a head of the fit gives the rate at any time and state (`cf.tl.growth`), and
        simulated cells carry weights. Snapshots do not determine growth without an assumption:
        what was assumed, and what else was tried, is in `uns["cellflow"]["growth"]`.
    growth_key
        Column of `adata.obs` with rates of growth that are known beforehand, per unit of time, such
        as `cf.pp.growth_scores` writes. By default its column `cf_growth_prior`, where there is one
        and `growth` is `"prior"` or `"auto"`.
    sample_key
        Column of `adata.obs` with the sample (an animal, a dish, a donor) that each cell is of.
        Samples of a time are coupled jointly, every cell with its weight, and a name at several
        times is one sample. How much of each step in time is batch is measured, logged and kept
        (`cf.get.samples`), with a warning where it is half or more.
    align_samples
        Remove an additive offset of each sample from the positions that the fit sees, so that
        velocities do not point from one sample to another. Offsets are those of matched cells of
        one time, in the model mean = time + sample, by least squares over all times, without what
        is noise. Among samples that are linked by times, those at the most times keep their mean
        position: a replicate at one time moves to the samples that are at all times, and samples
        with new names at each time move to the mean of their time. `adata.obsm` is not changed;
        offsets are stored, later calls remove the same ones, and states that they write (such as
        those of `cf.tl.predict` and `cf.tl.trajectories`) are without offsets. Samples that
        differ in the shares of their cell types may get an offset for it in part. False leaves
        positions as they are.
    lineage_key
        Static barcodes of the cells: a column of `adata.obs` with one for each cell, missing or
        empty for none; or a key of `adata.obsm` with a matrix of cells by clones, 0 or 1, such as
        `"X_clone"`. Cells of consecutive times that share a clone are coupled with each other, and
        other cells move as the clones around them do; see `cellflow.couplings.Lineage`.
    lineage_strength
        How far barcodes are trusted: largest cost of a pair inside a clone, in units of the mean
        cost of independent pairs. Pairs that cost more share their barcode by chance; `inf` trusts
        all.
    n_members
        Number of flows. More than one make an ensemble (`cellflow.Ensemble`): pairs of flows on
        random halves of the cells, or of the samples of `sample_key` where a snapshot has several.
        The mean of the members answers every call, and calls such as `cf.tl.velocity`,
        `cf.tl.fates` and `cf.tl.growth` add standard errors. Five take less than twice the time of
        one.
    force_rep
        Accept an embedding for drawing (UMAP, t-SNE, ...) as representation.
    layer
        Expression that positions are decoded to; `adata.X` by default.
    key_added
        Key of the fit in `adata.uns`. With another key than the default, all keys that are written
        begin with it.
    overwrite
        Replace existing fields that cellflow did not write under this `key_added`.
    random_state
        Seed; two runs with one seed on one machine are identical.
    threads
        Torch threads; `"auto"` times one against all.
    device
        `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"`. It is stored with the fit: later calls
        compute there too, or on the CPU on a machine without it.
    progress
        Show progress bars over the choice of growth and of a method, plans, paths and training.
        None: only in a terminal or a notebook.
    callback
        Called as `callback(step, loss)` at every record of the training.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `uns["cellflow"]`: dict. The `model` as plain arrays, `params`, the loss `history`, a summary
      of each of the `plans`, and what later calls need; `"auto"` adds `selection`, with the `table`
      of all candidates and the `best`; growth adds `growth`, with the `assumption`, the `reason`
      for it, what was `tried`, and the `table` of the comparison; samples add `samples`, with
      their `names`, `offsets` (n_samples, d), which `is_reference`, the distances by time, and
      all that in `words`.
    - `obs["cf_time"]`: float64, shape (n_obs,). Time of every cell.
    - `obs["cf_time_inferred"]`: bool, shape (n_obs,). Whether it is the mean of the times of the
      cell's neighbours, because the cell has none.
    - `obs["cf_predicted"]`: bool, shape (n_obs,). False for measured cells. Cells that an earlier
      fit has predicted keep their True; a warning says how many there are, because a fit of its own
      predictions confirms itself.
    - `var["cf_gene_r2"]`: float64, shape (n_vars,). Share of each gene's variance that is decoded
      from the representation, on held-out cells. Each gene is decoded by its loadings, by ridge
      regression or by its mean, whichever predicts held-out cells best. Left out where there is no
      expression.

    Raises
    ------
    InputError
        Data or an argument that cannot be used; `adata` is unchanged.
    CouplingError, TrainingError
        A plan that cannot be solved, a loss that is not finite.

    Warns
    -----
    InputWarning
        Data that can be used but look wrong, such as counts where log expression is expected;
        `cf.pp.check` lists all of it. Samples of one time that lie as far apart as those of
        consecutive times.

    See Also
    --------
    cellflow.pp.check, cellflow.get.flow, cellflow.recipes

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024; Lipman et al., Flow matching for generative modeling, ICLR 2023. Each
    recipe in `cellflow.recipes` names its own paper.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours")
    >>> cf.tl.velocity(adata, basis="umap")
    >>> adata.obsm["velocity_umap"].shape
    (160, 2)
    """
    check_arguments(flow, locals())
    from cellflow.model.fitting import fit

    keys = Keys(key_added)
    # Drawn once: a generator would give the choice of a method another seed than the fit.
    seed = as_seed(random_state)
    reading = Reading(
        time_key, use_rep=use_rep, n_dims=n_dims, weight_key=weight_key, mass_key=mass_key,
        growth_key=prior_key(adata, growth, growth_key), sample_key=sample_key,
        lineage_key=lineage_key, force_rep=force_rep, layer=layer,
    )  # fmt: skip
    cells = read_conditioned(adata, reading, condition_key, shared_until)
    places = places_of(adata, keys, layer)
    require_free(adata, keys, places, overwrite=overwrite)
    recipes = recipes_of(method, mass_key, score=score, growth=growth)
    recipes = informed(recipes, lineage_key, lineage_strength)
    if not all(recipe.generates for recipe in recipes):
        require_partners(cells)
    decoder = fitted_decoder(adata, cells.x, cells.use_rep, layer)
    target = target_of(adata, copy=copy)
    cells, samples = with_samples(cells, align=align_samples)
    problem = chosen(cells, recipes, growth, score=score, seed=seed, progress=progress)
    fitted = fit(
        problem.snapshots,
        problem.recipe,
        random_state=seed,
        n_members=n_members,
        threads=threads,
        device=device,
        progress=progress,
        callback=callback,
    ).with_decoder(decoder)
    times = inferred_times(cells)
    record = record_of(fitted, cells, adata.obs_names.to_numpy(), times, scale=problem.recipe.scale)
    record |= problem.entries | samples | {"written": listed(keys, places)}
    staged = staged_of(keys, record, times, cells, predicted_cells(adata), decoder)
    write(target, staged, remove=written(target, keys))
    say(target, fitted, cells, keys, problem.entries)
    return target if copy else None
