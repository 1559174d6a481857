"""cellflow as a method of the public suite scTimeBench (PyPI `sctimebench`, tested with 0.1.2).

The suite starts a script of the method with the path of its configuration. One line is enough:

    python benchmarks/sctimebench_runner.py --yaml_config "$1"

In the suite's own configuration, the method is

    method:
      name: cellflow
      train_and_test_script: run.sh          # holds that line
      metadata: {method: curved-cfm, n_comps: 50, growth: none, random_state: 0}

Both cellflow and sctimebench are installed in the environment of the method.

A flow is fitted to the training cells, in principal components of the training cells alone. Cells
of the test set are projected onto these, moved to the next time of the test set, and decoded by the
linear decoder of the fit; log expression below zero becomes zero. Cells of the last time have no
next one: their rows are NaN, as the suite has it. Times after those of training are extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp

import cellflow as cf

__all__ = ["TIME", "CellflowMethod"]

#: The column of times in the suite's data.
TIME = "scTimeBench_timepoint"
#: Cells that are decoded together.
_CHUNK = 4096
#: What the suite's configuration of the method may set.
_DEFAULTS = {"method": "curved-cfm", "n_comps": 50, "growth": "none", "random_state": 0}


class CellflowMethod:
    """What the suite calls: `train` once, then what its metrics need.

    Parameters
    ----------
    config
        The suite's configuration; `config["method"]["metadata"]` replaces the defaults above.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        given = (config.get("method") or {}).get("metadata") or {}
        unknown = sorted(set(given) - set(_DEFAULTS))
        if unknown:
            msg = f"metadata has {unknown}; expected some of {sorted(_DEFAULTS)}."
            raise ValueError(msg)
        self.settings = _DEFAULTS | given

    def train(self, ann_data: ad.AnnData, all_tps: Sequence[float] | None = None) -> None:
        """Fit the principal components and the flow; `all_tps` is not needed."""
        del all_tps
        cells = ad.AnnData(
            ann_data.X,
            obs={TIME: numbers(ann_data)},
            var=ann_data.var[[]].copy(),
        )
        cells.obs_names = ann_data.obs_names.astype(str)
        most = min(cells.shape) - 1
        sc.pp.pca(cells, n_comps=min(int(self.settings["n_comps"]), most))
        cf.tl.flow(
            cells,
            TIME,
            method=self.settings["method"],
            growth=self.settings["growth"],
            random_state=self.settings["random_state"],
            progress=False,
        )
        self.genes = cells.var_names
        self.mean = np.asarray(cells.X.mean(axis=0), dtype=np.float64).ravel()
        self.axes = np.asarray(cells.varm["PCs"], dtype=np.float64)
        self.flow = cf.get.flow(cells)

    def generate_embedding(self, test_ann_data: ad.AnnData) -> np.ndarray:
        """Principal components of the test cells, shape `(n, d)`."""
        if not test_ann_data.var_names.equals(self.genes):
            msg = "The genes of the test set are not those of training, in their order."
            raise ValueError(msg)
        projected = test_ann_data.X @ self.axes
        return np.asarray(projected - self.mean @ self.axes, dtype=np.float32)

    def generate_next_tp_embedding(self, test_ann_data: ad.AnnData) -> np.ndarray:
        """Those of each cell at the next time of the test set, shape `(n, d)`; NaN at the last."""
        x = self.generate_embedding(test_ann_data)
        times = numbers(test_ann_data)
        moved = np.full_like(x, np.nan)
        for start, stop in pairwise(np.unique(times).tolist()):
            rows = np.flatnonzero(times == start)
            moved[rows] = self.flow.simulate(x[rows], start, [stop]).x[-1]
        return moved

    def generate_next_tp_gex(self, test_ann_data: ad.AnnData) -> np.ndarray:
        """Expression at that time, shape `(n, n_genes)`; NaN at the last."""
        moved = self.generate_next_tp_embedding(test_ann_data)
        expression = np.full(test_ann_data.shape, np.nan, dtype=np.float32)
        rows = np.flatnonzero(np.isfinite(moved).all(axis=1))
        expression[rows] = self._decoded(moved[rows])
        return expression

    def generate_zero_to_end_pred_gex(
        self, first_tp_cells: ad.AnnData, all_tps: Sequence[float]
    ) -> ad.AnnData:
        """Expression of cells of the first time at all times, `n * n_times` cells, time by time."""
        x = self.generate_embedding(first_tp_cells)
        times = [float(time) for time in all_tps]
        path = self.flow.simulate(x, times[0], times).x
        predicted = ad.AnnData(
            sp.vstack([sp.csr_matrix(self._decoded(states)) for states in path], format="csr"),
            var=first_tp_cells.var[[]].copy(),
        )
        predicted.obs[TIME] = np.repeat(np.asarray(all_tps), len(x))
        return predicted

    def _decoded(self, x: np.ndarray) -> np.ndarray:
        """Log expression of positions, none below zero."""
        parts = (x[start : start + _CHUNK] for start in range(0, len(x), _CHUNK))
        return np.concatenate(
            [np.maximum(self.flow.decoder.positions(part), 0.0) for part in parts]
        )


def numbers(cells: ad.AnnData) -> np.ndarray:
    """Times of the cells as numbers, shape `(n,)`."""
    return cells.obs[TIME].to_numpy(dtype=np.float64)


def run() -> None:
    """Train and predict as the suite's configuration says."""
    from scTimeBench.method_utils.method_runner import BaseMethod, main

    class Method(CellflowMethod, BaseMethod):
        def __init__(self, yaml_config: dict[str, Any]) -> None:
            BaseMethod.__init__(self, yaml_config)
            CellflowMethod.__init__(self, yaml_config)

    main(Method)


if __name__ == "__main__":
    run()
