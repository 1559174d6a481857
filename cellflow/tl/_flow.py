"""Fit a flow to the snapshots in an AnnData."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.conditioned import named_plans, read_conditions, require_partners
from cellflow.adapter.decoding import fitted_decoder, has_expression
from cellflow.adapter.fingerprint import fingerprint
from cellflow.adapter.fitted import inferred_times
from cellflow.adapter.keys import DEFAULT, Keys, listed, require_free, written
from cellflow.adapter.read import Cells, read
from cellflow.adapter.reading import Reading
from cellflow.adapter.reference import kept_cells
from cellflow.adapter.store import pack, plain
from cellflow.adapter.times import Time
from cellflow.adapter.write import Staged, target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._warn import warn
from cellflow.core.frame import Scale
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow
    from cellflow.model.recipes import Recipe
    from cellflow.training import Callback

__all__ = ["flow"]


@guarded
def flow(
    adata: AnnData,
    time_key: str,
    *,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    method: str | Recipe = "curved-cfm",
    score: bool = False,
    condition_key: str | Sequence[str] | None = None,
    shared_until: Time | None = None,
    scale: Scale = "joint",
    weight_key: str | None = None,
    mass_key: str | None = None,
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
    """Learn a continuous dynamics from time-labelled cells.

    Consecutive snapshots are coupled by optimal transport of the whole populations, once; a
    velocity field is then regressed on paths between paired cells. A refit under the same key
    replaces the fit and removes what was computed from it.

    Parameters
    ----------
    adata
        Cells with a representation and times.
    time_key
        Column of `adata.obs`: numbers, labels such as `"E8.5"`, `"48h"`, `"day 3"`, `"t10"`, a
        categorical of these, Timedelta or dates. Cells without a time take no part in the fit and
        are annotated afterwards.
    use_rep
        Representation in which the dynamics lives: a key of `adata.obsm`, with or without `X_`, or
        `"X"` for few genes.
    n_dims
        Number of its leading dimensions; all by default.
    method
        Name of a recipe (`"curved-cfm"`, which did best on the benchmark sets, `"ot-cfm"`,
        `"i-cfm"`, `"sb-cfm"`, `"sf2m"`, `"vp-cfm"`), or a `cellflow.recipes.Recipe`. `"fm"` makes
        new cells from noise, for `cf.tl.generate`, and moves none. `"auto"` takes up to two
        minutes, and the fits that it has begun, to choose among several by how well they predict
        inner snapshots that are held out (see `cf.bench.tune`, which also chooses dimensions and
        takes as long as it is given); with two snapshots only, there are none, and it takes the
        default.
    score
        Learn the score of the population at every time and noise level beside the velocity, for
        stochastic trajectories, `cf.tl.refine` and `cf.tl.sample`; takes about four times as long
        to train. `"sf2m"` always has one.
    condition_key
        Column of `adata.obs` with the condition of each cell (a drug, a donor, a dose), or several:
        text and categoricals are kinds, numbers are amounts (make donors that are coded 1, 2, 3
        categories). Cells are coupled within equal conditions only, so every condition must be
        there at both ends of an interval; the field is told the condition. Columns are encoded one
        by one, so that combinations of values that no cell had can be asked for.
    shared_until
        With `condition_key`: the last time at which cells precede all conditions, such as a day 0
        before the treatment. They are coupled with the cells of every later condition, in each as
        cells of it, and move in all of them (`condition=` of `cf.tl.push`). Their own values in the
        column say in which condition their velocity is shown.
    scale
        Scaling of the model's coordinates: `"joint"` (one number), `"each"` (whitening), or
        `"none"`.
    weight_key
        Column of `adata.obs` with non-negative weights of the cells within their snapshot.
    mass_key
        Column of `adata.obs` with the size of the whole population, one positive number per
        snapshot. For `"fm"` only, which draws each snapshot by its size. Other methods refuse it:
        growth is not learned yet.
    force_rep
        Accept a picture (UMAP, t-SNE, ...) as representation.
    layer
        Expression that positions are decoded to; `adata.X` by default.
    key_added
        Where the fit goes; with another key than the default, every key that is written starts with
        it.
    overwrite
        Replace what somebody else wrote under the same keys.
    random_state
        Seed; two runs with one seed on one machine are identical.
    threads
        Torch threads; `"auto"` times one against all.
    device
        `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"`.
    progress
        A progress bar; None shows it only to somebody who is watching.
    callback
        Called as `callback(step, loss)` at every record of the training.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written are

    - `uns["cellflow"]`: the model as plain arrays, `params`, the loss `history`, a summary of each
      of the `plans`; `"auto"` adds its `selection`: the `table` of what was tried, and the `best`;
    - `var["cf_gene_r2"]`: share of each gene's variance that the representation decodes, on cells
      kept out: each is decoded by its loadings, by ridge regression or by its mean, whichever
      predicts such cells best;
    - `obs["cf_time"]`: time of every cell as a number; `obs["cf_time_inferred"]`: whether it is the
      mean of its neighbours'.

    Raises
    ------
    InputError
        Anything about the data or an argument that is not usable; `adata` is as it was.
    CouplingError, TrainingError
        A plan that cannot be had, a loss that is not finite.

    Warns
    -----
    InputWarning
        What is usable but looks wrong, such as counts where log expression is expected;
        `cf.pp.check` lists all of it.
    """
    check_arguments(flow, locals())
    from cellflow.model import recipes
    from cellflow.model.fitting import fit

    # Drawn once: a generator would give the choice of a method another seed than the fit.
    keys = Keys(key_added)
    seed = as_seed(random_state)
    reading = Reading(
        time_key,
        use_rep=use_rep,
        n_dims=n_dims,
        weight_key=weight_key,
        mass_key=mass_key,
        force_rep=force_rep,
        layer=layer,
    )
    cells = read(adata, reading)
    cells = read_conditions(adata, cells, condition_key, shared_until)
    places = [("uns", keys.uns), ("obs", keys.time), ("obs", keys.time_inferred)]
    if has_expression(adata, layer):
        places.append(("var", keys.gene_r2))
    require_free(adata, keys, places, overwrite=overwrite)
    auto = isinstance(method, str) and method == "auto"
    recipe = recipes.by_name(recipes.DEFAULT if auto else method)
    decoder = fitted_decoder(adata, cells.x, cells.use_rep, layer)
    _require_use_of_mass(mass_key, recipe)
    recipe = recipe.with_score() if score and "score" not in recipe.heads else recipe
    _require_known_networks(recipe)
    if not recipe.generates:
        require_partners(cells)
    elif score:
        msg = (
            f"score=True with method={recipe.name!r}, which makes cells from noise; no call asks"
            " for its score. Omit it."
        )
        raise InputError(msg)
    target = target_of(adata, copy=copy)
    selection: dict[str, Any] = {}
    if auto:
        recipe, selection = _chosen(cells, recipe, scale=scale, seed=seed, progress=progress)
        recipe = recipe.with_score() if score and "score" not in recipe.heads else recipe
    fitted = fit(
        cells.snapshots(),
        recipe,
        scale=scale,
        random_state=seed,
        threads=threads,
        device=device,
        progress=progress,
        callback=callback,
    ).with_decoder(decoder)
    choices = {
        "scale": scale,
        "device": str(device),
        "shared_until": cells.shared_until,
    }
    times = inferred_times(cells)
    record = _record(fitted, cells, adata.obs_names.to_numpy(), times, choices)
    record |= selection
    record["written"] = listed(keys, places)
    staged: Staged = {
        "uns": {keys.uns: record},
        "obs": {keys.time: times, keys.time_inferred: ~cells.timed},
    }
    if decoder is not None and decoder.gene_r2 is not None:
        staged["var"] = {keys.gene_r2: decoder.gene_r2}
    write(target, staged, remove=written(target, keys))
    return target if copy else None


def _require_use_of_mass(mass_key: str | None, recipe: Recipe) -> None:
    """Make sure that sizes of populations are not given to a method that does not look at them."""
    if mass_key is None or recipe.generates:
        return
    msg = (
        f"mass_key={mass_key!r} with method={recipe.name!r}, which would not look at it: sizes of"
        " whole populations tell how much cells grow between snapshots, and growth is not learned"
        " yet. Expected None; only method='fm' uses it, to draw each snapshot by its size. Omit"
        " mass_key=, or give weights of cells within a snapshot as weight_key=."
    )
    raise InputError(msg)


def _require_known_networks(recipe: Recipe) -> None:
    """Make sure that the networks can be made again from plain values and import paths, which an AnnData holds."""
    from cellflow.model.description import unknown_networks

    unknown = unknown_networks(recipe)
    if unknown:
        msg = (
            f"method= has a network that cellflow does not have: {unknown[0]}. Expected networks of"
            " cellflow.fields, or torch.nn.Module classes at the top of a module, with options in"
            " functools.partial by name, as numbers or text: an AnnData holds the import path of a"
            " class and no code. Or fit this one on arrays: flow = cf.fit(snapshots, method), keep"
            " it with flow.save(folder), and read it with Flow.load(folder, fields={name: class})."
        )
        raise InputError(msg)


def _chosen(
    cells: Cells, default: Recipe, *, scale: Scale, seed: int, progress: bool | None
) -> tuple[Recipe, dict[str, Any]]:
    """The method that predicts inner snapshots best, and what is kept of the choice."""
    from cellflow.evaluation.selection import curve, select

    snapshots = cells.snapshots()
    if len(snapshots) < 3:
        msg = (
            f"method='auto' with {len(snapshots)} snapshots: nothing can be held out, so nothing"
            f" can be chosen. It takes the default, {default.name!r}; name a method to say so"
            " yourself."
        )
        warn(msg, InputWarning)
        return default, {}
    found = select(snapshots, scale=scale, random_state=seed, progress=progress)
    return found.best.recipe, {"selection": {"table": curve(found), "best": found.best.name}}


def _record(
    fitted: Flow, cells: Cells, names: np.ndarray, times: FloatArray, choices: dict[str, Any]
) -> dict[str, Any]:
    """What is kept of a fit: the model, and everything that says how it was made."""
    params = {
        **cells.reading.params,
        "time_unit": cells.unit,
        "time_zero": cells.zero,
        "method": str(fitted.recipe["name"]),
        "n_obs": len(cells.x),
        "n_untimed": cells.n_untimed,
        "random_state": fitted.seed,
        "threads": fitted.threads,
        "score": "score" in fitted.heads,
        "seconds": fitted.seconds,
        "condition_key": None if cells.conditions is None else cells.conditions.names,
        **choices,
    }
    if fitted.decoder is not None:
        params |= {"decoder": fitted.decoder.kind, "decoder_r2": fitted.decoder.r2}
    conditions = (
        {} if cells.conditions is None else {"conditions": json.dumps(cells.conditions.state())}
    )
    compared = cells.conditions is None and not fitted.generates
    reference = kept_cells(cells.snapshots(), fitted.seed) if compared else {}
    return conditions | {
        "cellflow_version": fitted.version,
        "kind": "fit",
        "params": plain(params),
        "model": pack(fitted),
        "history": dict(fitted.history),
        "plans": plain(named_plans(fitted.plans, cells)),
        "fingerprint": fingerprint(names, cells.x, times, ~cells.timed),
        **reference,
    }
