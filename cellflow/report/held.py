"""What `cf.bench.holdout` left in an AnnData, read and checked."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.benchmark import Benchmark, read_benchmark
from cellflow.adapter.hashes import order_of
from cellflow.adapter.positions import read_positions
from cellflow.core._neighbors import nearest
from cellflow.errors import CellFlowError, InputError
from cellflow.evaluation.names import DEFAULT_PROTOCOL, OBSERVED, REAL, cloud_name
from cellflow.evaluation.table import NUMBERS
from cellflow.report.clouds import Cloud, Reference, coincide

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Held"]


@dataclass(frozen=True, eq=False)
class Held(Benchmark):
    """A held-out benchmark, with the cells that its figures show beside it."""

    _references: dict[float, Reference | None] = field(default_factory=dict)

    @classmethod
    def of(cls, adata: AnnData, key: str) -> Held:
        """Read the record at `adata.uns[key]`.

        Raises
        ------
        MissingKeyError
            There is none.
        InputError
            It is not what `cf.bench.holdout` writes.
        """
        found = read_benchmark(adata, key)
        return cls(**{f.name: getattr(found, f.name) for f in fields(Benchmark)})

    @property
    def times(self) -> list[float]:
        """The hidden times, increasing."""
        return [float(t) for t in sorted(self.table["time"].unique())]

    @property
    def representation(self) -> str:
        """Whether the coordinates have seen the hidden cells."""
        found = dict.fromkeys(r for r in self.table["representation"] if r)
        return "; ".join(found) or "not stated"

    def at(self, time: float) -> str:
        """A time in words."""
        unit = str(self.params.get("time_unit", "") or "")
        return f"{time:g} {unit}" if unit else f"{self.params['time_key']} {time:g}"

    def summary(self, time: float) -> pd.DataFrame:
        """Rows of one hidden time, means over seeds: the floor first, then by W1 at equal n."""
        import pandas as pd

        here = self.table[self.table["time"] == time]
        columns = [c for c in NUMBERS if c in here and c not in ("time", "seed")]
        groups = here.groupby(["kind", "method", "protocol"], sort=False, observed=True)
        mean = groups[columns].mean().reset_index()
        first = (mean["kind"] == "floor").to_numpy()
        mean = mean.iloc[np.lexsort((mean["w1_half"].to_numpy(), ~first))]
        return pd.DataFrame(mean).reset_index(drop=True)

    def half(self, time: float, method: str) -> float:
        """W1 at equal numbers of cells of the floor or of a baseline; NaN where it is missing."""
        rows = self.table[(self.table["time"] == time) & (self.table["kind"] != "model")]
        here = rows[rows["method"] == method]
        return float(here["w1_half"].mean()) if len(here) else math.nan

    @cached_property
    def main(self) -> tuple[str, str] | None:
        """Method and protocol of the first model, two-sided if it has that."""
        models = self.table[(self.table["kind"] == "model") & self.table["w1_half"].notna()]
        if models.empty:
            return None
        method = str(models.iloc[0]["method"])
        protocols = dict.fromkeys(models.loc[models["method"] == method, "protocol"])
        return method, str(min(protocols, key=lambda p: p != DEFAULT_PROTOCOL))

    def models(self) -> dict[str, tuple[str, str]]:
        """Method and protocol of every model by the name of its cloud; two-sided first of each."""
        rows = self.table[self.table["kind"] == "model"]
        pairs = list(dict.fromkeys(zip(rows["method"], rows["protocol"], strict=True)))
        methods = list(dict.fromkeys(method for method, _ in pairs))
        pairs.sort(key=lambda pair: (methods.index(pair[0]), pair[1] != DEFAULT_PROTOCOL))
        return {cloud_name(method, protocol): (method, protocol) for method, protocol in pairs}

    def without_model(self) -> list[str]:
        """Names of the clouds of baselines."""
        rows = self.table[self.table["kind"] == "baseline"]
        return [cloud_name(name) for name in dict.fromkeys(rows["method"])]

    def drawn(self, n: int) -> list[str]:
        """Names of the first `n` predictions with clouds, each method by one protocol first."""
        models = self.models()
        rank: dict[str, int] = {}
        seen: Counter[str] = Counter()
        for name, (method, _) in models.items():
            rank[name] = seen[method]
            seen[method] += 1
        names = sorted(models, key=rank.__getitem__)
        drawn = {name for clouds in self.clouds.values() for name in clouds}
        return [name for name in names if name in drawn][:n]

    def cloud(self, time: float, name: str) -> Cloud | None:
        """The drawn cells of one population; None where there are none."""
        found = self.clouds.get(f"time_{time}", {}).get(name)
        if found is None:
            return None
        rows = found.get("rows")
        x = np.asarray(found["x"], dtype=np.float64)
        weight = np.asarray(found["weight"], dtype=np.float64)
        return Cloud(x, weight, None if rows is None else np.asarray(rows, dtype=np.int64))

    def reference(self, adata: AnnData, time: float, usable: np.ndarray) -> Reference | None:
        """Real cells in the coordinates of the predictions for one time, of `usable` cells.

        All cells, where the benchmark was run in the representation that is there; else those of
        the drawn ones whose rows are known, None without any.

        Raises
        ------
        InputError
            The benchmark was made with other cells.
        """
        if self.order not in ("", order_of(adata.obs_names.to_numpy())):
            msg = (
                "The benchmark was made with other cells than adata holds, or with the same in"
                " another order; pass the AnnData that it was made with, or run cf.bench.holdout"
                " again."
            )
            raise InputError(msg)
        if time not in self._references:
            self._references[time] = self._all_cells(adata, time) or self._drawn_cells(adata, time)
        found = self._references[time]
        if found is None:
            return None
        kept = usable[found.rows]
        return Reference(found.x[kept], found.rows[kept]) if kept.any() else None

    def _all_cells(self, adata: AnnData, time: float) -> Reference | None:
        observed = self.cloud(time, OBSERVED)
        if observed is None:
            return None
        use_rep = str(self.params["use_rep"])
        try:
            found = read_positions(adata, use_rep=use_rep, n_dims=int(self.params["n_dims"]))
        except CellFlowError:
            return None
        x = found.astype(np.float64)
        rows = np.flatnonzero(np.isfinite(x).all(axis=1))
        if not len(rows) or x.shape[1] != observed.x.shape[1]:
            return None
        distance, _ = nearest(x[rows], observed.x, 1)
        return Reference(x[rows], rows) if coincide(distance, x[rows]) else None

    def _drawn_cells(self, adata: AnnData, time: float) -> Reference | None:
        clouds = (self.cloud(time, name) for name in REAL)
        found = [(c.x, c.rows) for c in clouds if c is not None and c.rows is not None]
        if not found:
            return None
        x, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if rows.max() >= adata.n_obs:
            msg = (
                f"The benchmark was made with at least {rows.max() + 1:,} cells and adata has"
                f" {adata.n_obs:,}; pass the AnnData that it was made with, or run cf.bench.holdout"
                " again."
            )
            raise InputError(msg)
        return Reference(x, rows)
