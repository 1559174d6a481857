"""Simulated data sets whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow import synthetic
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._numbers import as_array, as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.datasets._experiment import experiment_columns, population_columns
from cellflow.errors import InputError, closest
from cellflow.synthetic import Experiment, System

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Categorical

__all__ = ["simulate"]

#: `"two_well"` is the class `TwoWell`, with its default constants.
_BY_NAME: dict[str, Any] = {
    "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"): getattr(
        synthetic, name
    )
    for name in synthetic.__all__
    if name not in {"Circuit", "Experiment", "System", "truth"}
}


@guarded
@accepts(seed=Renamed("random_state"))
def simulate(
    name: str | System | Experiment,
    *,
    n_obs: int = 500,
    times: Sequence[float] | None = None,
    random_state: RandomState = 0,
) -> AnnData:
    """Draw snapshots of a system whose dynamics are known.

    Parameters
    ----------
    name
        `"gaussian_to_gaussian"`, `"ornstein_uhlenbeck"`, `"rotation"`, `"bifurcation"`,
        `"two_well"`, `"gene_circuit"` (with noise), `"toggle_switch"`, `"growing_circuit"`,
        `"growing_fork"`, `"growing_gaussian"`, `"circuits"` (with proliferation) or
        `"branching_tree"`; or a system of `cellflow.synthetic`, for other constants; or an
        `Experiment` there, for conditions, samples and barcodes.
    n_obs
        Cells per snapshot; of an experiment, cells per sample.
    times
        Times of the snapshots, strictly increasing, not before 0; the system's own by default.
    random_state
        Seed; the same seed gives the same cells.

    Returns
    -------
    An AnnData with `n_obs` cells per time. Its variables are `x0`, `x1`, ..., or the genes of a
    circuit. Its fields are

    - `X`: float64, shape (n_rows, d). Positions.
    - `obsm["X_state"]`: float64, shape (n_rows, d). The same; pass `use_rep="X_state"`.
    - `obs["time"]`: float64, shape (n_rows,).
    - `obs["mass"]`: float64, shape (n_rows,). Size of the population relative to the first time.
    - `uns["simulation"]`: dict. `system`, its `constants`, `n_obs` and `seed`.

    and the quantities that are known for the system, of

    - `obsm["velocity_true"]`: float64, shape (n_rows, d). Velocity of the population.
    - `obsm["drift_true"]`: float64, shape (n_rows, d). Drift of single cells.
    - `obsm["fates_true"]`: float64, shape (n_rows, n_fates). Fate probabilities.
    - `obs["growth_true"]`: float64, shape (n_rows,). Growth rate.
    - `obs["log_density_true"]`: float64, shape (n_rows,). In nats.

    An experiment adds

    - `obs["condition"]`: categorical, shape (n_rows,).
    - `obs["sample"]`: categorical, shape (n_rows,). One name for each time and replicate.
    - `obs["replicate"]`: categorical, shape (n_rows,). The same at all times.
    - `obs["cell_type"]`: categorical, shape (n_rows,). `trunk` up to the fork, then the branch.
    - `obs["fate_true"]`: categorical, shape (n_rows,). Where the cell ends, also before the fork.
    - `obs["clone"]`: categorical, shape (n_rows,). Missing for a cell without a barcode. The column
      is absent without clones.
    - `obsm["shift_true"]`: float64, shape (n_rows, d). What the sample adds to the position. Other
      known quantities are those of the position without it.

    Its `mass` is the mean over the conditions.

    Raises
    ------
    InputError
        An unknown name, no cells, times that are not increasing from 0 on, or times at which the
        system cannot be simulated in a limited number of steps.

    Examples
    --------
    >>> simulate("two_well", n_obs=10, times=[0.0, 1.0]).obsm["fates_true"].shape
    (20, 2)
    """
    check_arguments(simulate, locals())
    import anndata as ad
    import pandas as pd

    system = _system(name)
    chosen = as_array("times", system.times if times is None else times)
    if chosen.ndim != 1 or not len(chosen) or chosen[0] < 0 or (np.diff(chosen) <= 0).any():
        msg = f"times={chosen.tolist()} must be numbers that increase strictly, from 0 on."
        raise InputError(msg)
    # Positions, velocities and their work space, for every cell of every time.
    n_samples = 1
    if isinstance(system, Experiment):
        n_samples = system.n_samples * len(system.conditions)
    n_obs = as_count("n_obs", n_obs, each=256 * len(chosen) * n_samples)
    seed = as_seed(random_state)
    if isinstance(system, Experiment):
        parts = experiment_columns(system, n_obs, chosen.tolist(), stream(seed))
    else:
        parts = population_columns(system, n_obs, chosen.tolist(), stream(seed))
    x = np.concatenate([part.pop("x") for part in parts])
    adata = ad.AnnData(
        x,
        obs=pd.DataFrame(index=[f"cell{i}" for i in range(len(x))]),
        var=pd.DataFrame(index=getattr(system, "genes", [f"x{k}" for k in range(x.shape[1])])),
        obsm={"X_state": x.copy()},
    )
    for key in parts[0]:
        values = np.concatenate([part[key] for part in parts])
        slot = adata.obs if values.ndim == 1 else adata.obsm
        slot[key] = values if values.dtype.kind == "f" else _kinds(key, values)
    adata.uns["simulation"] = {
        "system": type(system).__name__,
        "constants": _plain(asdict(system)),  # type: ignore[arg-type] # systems are dataclasses
        "n_obs": n_obs,
        "seed": seed,
    }
    return adata


def _kinds(key: str, values: np.ndarray) -> Categorical:
    """Names as a categorical; empty names are missing.

    Cell types and fates are in alphabetical order, other names in that of their first cells, so
    that the control is the first condition.
    """
    import pandas as pd

    found = pd.Series(values)
    kept = found[values != ""]
    names = kept.unique()
    ordered = sorted(names) if key in {"cell_type", "fate_true"} else names
    return pd.Categorical(kept.reindex(found.index), categories=ordered)


def _system(name: str | System | Experiment) -> System | Experiment:
    if isinstance(name, System | Experiment):
        return name
    key = str(name).replace("-", "_")
    if key not in _BY_NAME:
        msg = f"{name!r} is neither a system nor one of {sorted(_BY_NAME)}{closest(key, _BY_NAME)}"
        raise InputError(msg)
    system: System = _BY_NAME[key]()
    return system


def _plain(value: Any) -> Any:
    """Constants of a system as values that an h5ad can hold."""
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    return list(value) if isinstance(value, tuple) else value
