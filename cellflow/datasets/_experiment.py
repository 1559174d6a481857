"""Columns of simulated cells: of one population, and of an experiment with conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.synthetic import Experiment, System, truth

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["experiment_columns", "population_columns"]

#: Columns of the cells of one time or sample, by name; `"x"` has the positions.
Columns = dict[str, np.ndarray]


def population_columns(
    system: System, n_obs: int, times: Sequence[float], rng: np.random.Generator
) -> list[Columns]:
    """Columns of the cells of each time."""
    return [
        {"x": p.x, "time": np.full(n_obs, p.time), "mass": np.full(n_obs, p.mass)}
        | _true(system, p.time, p.x)
        for p in system.sample(n_obs, times, rng).populations
    ]


def experiment_columns(
    experiment: Experiment, n_obs: int, times: Sequence[float], rng: np.random.Generator
) -> list[Columns]:
    """Columns of the cells of each sample."""
    systems = experiment.conditions
    mass = {t: np.mean([np.exp(s.log_sizes(t)).sum() for s in systems.values()]) for t in times}
    columns = []
    for taken in experiment.take(n_obs, times, rng):
        system = systems[taken.condition]
        replicate = f"{taken.condition} {taken.replicate + 1}"
        labels: dict[str, Any] = {
            "time": taken.time,
            "mass": mass[taken.time],
            "condition": taken.condition,
            "sample": f"{replicate} at {taken.time:g}",
            "replicate": replicate,
        }
        found = {"x": taken.x} | {key: np.full(n_obs, label) for key, label in labels.items()}
        found["cell_type"] = np.array(system.labels(taken.time))[taken.kind]
        found["fate_true"] = np.array(system.labels(np.inf))[taken.kind]
        if experiment.n_clones:
            names = np.array([f"clone {k}" for k in taken.clone])
            found["clone"] = np.where(taken.clone < 0, "", names)
        found["shift_true"] = np.tile(taken.shift, (n_obs, 1))
        columns.append(found | _true(system, taken.time, taken.x - taken.shift))
    return columns


def _true(system: System, t: float, x: np.ndarray) -> Columns:
    return {f"{name}_true": values for name, values in truth(system, t, x).items()}
