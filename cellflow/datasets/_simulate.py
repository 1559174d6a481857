"""Simulated data sets whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
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
from cellflow.errors import InputError, closest
from cellflow.synthetic import System, truth

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["simulate"]

#: `"two_well"` is the class `TwoWell`, with its default constants.
_BY_NAME: dict[str, Any] = {
    "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"): getattr(
        synthetic, name
    )
    for name in synthetic.__all__
    if name not in {"System", "truth"}
}


@guarded
@accepts(seed=Renamed("random_state"))
def simulate(
    name: str | System,
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
        `"two_well"`, `"gene_circuit"` (with noise), `"toggle_switch"` (with proliferation) or
        `"branching_tree"`; or a system of `cellflow.synthetic`, for other constants.
    n_obs
        Cells per snapshot.
    times
        Times of the snapshots, strictly increasing, not before 0; the system's own by default.
    random_state
        Seed; the same seed gives the same cells.

    Returns
    -------
    An AnnData with `n_obs` cells per time. Its fields are

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
    n_obs = as_count("n_obs", n_obs, each=256 * len(chosen))
    seed = as_seed(random_state)
    snapshots = system.sample(n_obs, chosen.tolist(), stream(seed))

    x = np.concatenate([p.x for p in snapshots.populations])
    obs = pd.DataFrame(
        {
            "time": np.repeat(snapshots.times, n_obs),
            "mass": np.repeat([p.mass for p in snapshots.populations], n_obs),
        },
        index=[f"cell{i}" for i in range(len(x))],
    )
    adata = ad.AnnData(
        x,
        obs=obs,
        var=pd.DataFrame(index=[f"x{k}" for k in range(x.shape[1])]),
        obsm={"X_state": x.copy()},
    )
    parts = [truth(system, p.time, p.x) for p in snapshots.populations]
    for key in parts[0]:
        values = np.concatenate([part[key] for part in parts])
        (adata.obs if values.ndim == 1 else adata.obsm)[f"{key}_true"] = values
    adata.uns["simulation"] = {
        "system": type(system).__name__,
        "constants": _plain(system),
        "n_obs": n_obs,
        "seed": seed,
    }
    return adata


def _system(name: str | System) -> System:
    if isinstance(name, System):
        return name
    key = str(name).replace("-", "_")
    if key not in _BY_NAME:
        msg = f"{name!r} is neither a system nor one of {sorted(_BY_NAME)}{closest(key, _BY_NAME)}"
        raise InputError(msg)
    system: System = _BY_NAME[key]()
    return system


def _plain(system: Any) -> dict[str, Any]:
    """Constants of a system as values that an h5ad can hold."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(system).items()
    }
