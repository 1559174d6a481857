"""One prediction of one held-out snapshot, scored: the tasks of a hold-out."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.core._warn import collected
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation.baselines import (
    mixture,
    next_snapshot,
    ot_interpolation,
    previous_snapshot,
    random_interpolation,
)
from cellflow.evaluation.folds import Fold
from cellflow.evaluation.halves import SEED, thinned
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.methods import FlowPredictor, Predictor, Trained, description
from cellflow.evaluation.names import (
    BASELINES,
    FLOOR,
    MIXTURE,
    NEXT,
    NO_NETWORK,
    OBSERVED,
    OWN_PATH,
    PREVIOUS,
    PROTOCOLS,
    RANDOM,
    REAL,
    STRAIGHT,
    Protocols,
)
from cellflow.evaluation.rows import plain_scores
from cellflow.evaluation.scores import no_scores, score, score_floor
from cellflow.evaluation.tasks import Outcome, digest
from cellflow.model.fitting import Coupled, couple
from cellflow.model.recipes import describe

__all__ = ["Baseline", "Model", "OwnPath", "Plans"]

#: Baselines that need no recipe, called as `(rest, time, rng)`.
_BASELINES: dict[str, Callable[[Snapshots, float, np.random.Generator], Population]] = {
    PREVIOUS: lambda rest, time, rng: previous_snapshot(rest, time),  # noqa: ARG005 (one signature)
    NEXT: lambda rest, time, rng: next_snapshot(rest, time),  # noqa: ARG005
    MIXTURE: lambda rest, time, rng: mixture(rest, time),  # noqa: ARG005
    STRAIGHT: ot_interpolation,
    RANDOM: random_interpolation,
}
#: Cells of a cloud that are kept for pictures, at most.
_KEPT = 2000


@dataclass(frozen=True, eq=False)
class Judged:
    """What all tasks of a fold share: how predictions are judged."""

    fold: Fold
    metrics: tuple[str, ...]
    n_splits: int

    def _hash(self, *parts: object) -> str:
        return digest(__version__, self.fold.fingerprint, list(self.metrics), self.n_splits, *parts)

    def _scored(self, predicted: Population) -> dict[str, Any]:
        """Scores of a prediction, as plain values."""
        splits = self.fold.halves(self.n_splits)
        return plain_scores(score(predicted, self.fold.held_out, splits, chosen=self.metrics))

    def _failed(self, error: Exception) -> dict[str, Any]:
        """Missing scores with the reason, as plain values."""
        note = f"{type(error).__name__}: {error}"
        return plain_scores(no_scores(len(self.fold.held_out), note))

    def _without_model(self, name: str, predict: Callable[[], tuple[Population, float]]) -> Outcome:
        """Row and cloud of a prediction without a model; `predict` returns it and more seconds."""
        about = _about(name)
        begun = clock.perf_counter()
        try:
            predicted, more = predict()
        except Exception as error:  # noqa: BLE001 (other rows of the table stand)
            return Outcome([self._failed(error) | about], {}, complete=False)
        seconds = clock.perf_counter() - begun + more
        row = self._scored(predicted) | about | {"seconds": seconds}
        return Outcome([row], _cloud(name, predicted))


def _about(name: str) -> dict[str, Any]:
    return {"method": name, "protocol": "", "seed": None, "kind": "baseline", "seconds": 0.0}


def _cloud(name: str, cloud: Population) -> dict[str, FloatArray]:
    """A cloud for pictures; of measured cells with their rows of origin."""
    few = thinned(cloud, _KEPT)
    made: dict[str, Any] = {f"{name}|x": few.x.astype(np.float32), f"{name}|weight": few.weight}
    return made | ({f"{name}|rows": few.index} if name in REAL else {})


@dataclass(frozen=True, eq=False)
class Baseline(Judged):
    """A baseline or the noise floor, scored once whatever the seeds."""

    name: str

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        return self._hash("baseline", self.name)

    def run(self) -> Outcome:
        """Predict and score."""
        fold = self.fold
        if self.name == FLOOR:
            found = score_floor(fold.held_out, fold.halves(self.n_splits), chosen=self.metrics)
            row = plain_scores(found) | _about(FLOOR) | {"kind": "floor"}
            return Outcome([row], _cloud(OBSERVED, fold.held_out))
        rng = stream(SEED, BASELINES.index(self.name))
        predict = _BASELINES[self.name]
        return self._without_model(self.name, lambda: (predict(fold.rest, fold.time, rng), 0.0))


@dataclass(frozen=True, eq=False)
class OwnPath(Judged):
    """The paths of a recipe without its network."""

    method: Trained
    plans: Coupled | None = None

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        return self._hash(OWN_PATH, description(self.method))

    def run(self) -> Outcome:
        """Couple, move the pairs along their paths, and score."""
        return self._without_model(f"{self.method.name}{NO_NETWORK}", self._predicted)

    def _predicted(self) -> tuple[Population, float]:
        rest = self.fold.rest
        recipe = self.method.recipe
        given = self.plans
        plans = couple(rest, recipe, progress=False) if given is None else given
        cells = path_interpolation(rest, self.fold.time, recipe, plans=plans)
        return cells, 0.0 if given is None else given.seconds(recipe)


@dataclass(frozen=True, eq=False)
class Model(Judged):
    """A method with one seed, by all protocols."""

    method: Predictor
    seed: int
    protocols: tuple[Protocols, ...]
    plans: Coupled | None = None

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        return self._hash("model", description(self.method), self.seed, list(self.protocols))

    def run(self) -> Outcome:
        """Fit, predict and score, by each protocol."""
        try:
            predicted = self._predicted()
        except Exception as error:  # noqa: BLE001 (other rows of the table stand)
            failed = self._failed(error)
            rows = [failed | self._named(p, math.nan) for p in self.protocols]
            return Outcome(rows, {}, complete=False)
        rows = []
        clouds: dict[str, FloatArray] = {}
        scored: list[tuple[Population, dict[str, Any]]] = []
        for protocol, (cells, seconds, said) in predicted.items():
            row = next((row for other, row in scored if _equal(other, cells)), None)
            if row is None:
                row = self._scored(cells)
                scored.append((cells, row))
            notes = [*row["notes"], *dict.fromkeys(said)]
            rows.append(row | self._named(protocol, seconds) | {"notes": notes})
            clouds |= _cloud(f"{self.method.name}, {protocol}", cells)
        return Outcome(rows, clouds)

    def _named(self, protocol: str, seconds: float) -> dict[str, Any]:
        named = {"method": self.method.name, "protocol": protocol, "seed": self.seed}
        return named | {"kind": "model", "seconds": seconds}

    def _predicted(self) -> dict[Protocols, tuple[Population, float, list[str]]]:
        """By protocol: the population, the seconds that it took, and the warnings."""
        method: Predictor = self.method
        rest = self.fold.rest
        time = self.fold.time
        found: object = None
        begun = clock.perf_counter()
        with collected() as said:
            if isinstance(method, Trained):
                method = method.fitted(rest, random_state=self.seed, plans=self.plans)
            if not isinstance(method, FlowPredictor):
                found = method(rest, time, random_state=self.seed)
        seconds = clock.perf_counter() - begun
        if not isinstance(method, FlowPredictor):
            checked = self._checked(found)
            return {p: (checked[p], seconds, said) for p in self.protocols if p in checked}
        predicted = {}
        for way in self.protocols:
            with collected() as more:
                cells, seconds = method.predicted(rest, time, way)
            predicted[way] = (cells, seconds, said + more)
        return predicted

    def _checked(self, found: object) -> Mapping[Protocols, Population]:
        """What a method returned, if it is populations by protocol."""
        wanted = list(self.protocols)
        head = f"The method {self.method.name!r} returned"
        if (
            not isinstance(found, Mapping)
            or set(found) - set(PROTOCOLS)
            or not set(found) & set(wanted)
        ):
            keys = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            msg = f"{head} {keys}; expected populations by protocol, some of {wanted}."
            raise InputError(msg)
        n_dims = self.fold.rest.n_dims
        for protocol, cells in found.items():
            is_population = isinstance(cells, Population)
            if not is_population or cells.x.shape[1] != n_dims:
                shown = f"shape {cells.x.shape}" if is_population else type(cells).__name__
                expected = f"a Population of {n_dims} dimensions"
                msg = f"{head} {shown} for {protocol}; expected {expected}."
                raise InputError(msg)
        return found


def _equal(a: Population, b: Population) -> bool:
    return (
        a.x.shape == b.x.shape and np.array_equal(a.x, b.x) and np.array_equal(a.weight, b.weight)
    )


@dataclass(frozen=True, eq=False)
class Plans:
    """Plans of one coupling around one held-out snapshot, and paths of the methods that share them.

    Parameters
    ----------
    fold
        What is held out from what.
    methods
        The methods that share the plans.
    solved
        The plans, where they are there already and only paths are missing.
    """

    fold: Fold
    methods: tuple[Trained, ...]
    solved: Coupled | None = None

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        recipe = self.methods[0].recipe
        return digest(self.fold.fingerprint, describe(recipe.coupling), recipe.scale)

    def run(self) -> Outcome:
        """Solve and prepare; None if that fails, which the fit repeats and reports in its row."""
        first = self.methods[0]
        rest = self.fold.rest
        try:
            plans = self.solved
            if plans is None:
                plans = couple(rest, first.recipe, progress=False)
            for method in self.methods:
                plans = plans.prepared(rest, method.recipe)
        except Exception:  # noqa: BLE001 (reported by the fit)
            return Outcome(None, {}, complete=False)
        return Outcome(plans, {}, complete=False)
