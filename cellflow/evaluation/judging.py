"""One prediction of one held-out snapshot, scored: the tasks that a benchmark consists of."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.methods import PROTOCOLS, Fitted, Method, Protocols, Trained, description
from cellflow.evaluation.problem import SEED, Problem
from cellflow.evaluation.scores import Scores, columns, score, score_floor, thinned
from cellflow.evaluation.tasks import Outcome, digest
from cellflow.model.fitting import Coupled, couple
from cellflow.model.recipes import describe

__all__ = [
    "BASELINES",
    "FLOOR",
    "OWN_PATH",
    "STRAIGHT",
    "Baseline",
    "Model",
    "OwnPath",
    "Plans",
    "Row",
    "read_row",
]

Kind = Literal["model", "baseline", "floor"]

#: The baseline that a model has to beat, and the row that nobody can.
STRAIGHT = "OT interpolation"
FLOOR = "noise floor"
#: Called as `(rest, time, rng)`.
_BASELINES: dict[str, Callable[[Snapshots, float, np.random.Generator], Population]] = {
    "previous snapshot": lambda rest, time, rng: previous_snapshot(rest, time),  # noqa: ARG005 (as those that draw)
    "next snapshot": lambda rest, time, rng: next_snapshot(rest, time),  # noqa: ARG005
    "mixture": lambda rest, time, rng: mixture(rest, time),  # noqa: ARG005
    STRAIGHT: ot_interpolation,
    "random pairing": random_interpolation,
}
#: What stands for the paths of each recipe that has its own, without a network.
OWN_PATH = "own path"
#: Rows without a model that stand beside every model.
BASELINES = (*_BASELINES, OWN_PATH)
#: The cells that were held out, among the clouds.
_OBSERVED = "observed"
#: Clouds of cells that were measured.
_REAL = (_OBSERVED, "previous snapshot", "next snapshot")
#: Cells of a cloud that are kept for pictures.
_DRAWN = 2000


@dataclass(frozen=True, eq=False)
class Row:
    """How one method did on one held-out snapshot: a row of the table.

    Parameters
    ----------
    time, method, protocol, seed, kind, representation
        Columns of the table; a baseline has no protocol and no seed.
    scores
        What was measured.
    seconds
        To predict, training and plans included; not to score.
    half_share
        Share of the held-out cells that are in a half.
    """

    time: float
    method: str
    protocol: str
    seed: int | None
    kind: Kind
    scores: Scores
    seconds: float
    representation: str
    half_share: float = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """What all tasks of a problem share: how predictions are judged."""

    problem: Problem
    metrics: tuple[str, ...]
    n_splits: int

    def _hash(self, *parts: object) -> str:
        return digest(
            __version__, self.problem.fingerprint, list(self.metrics), self.n_splits, *parts
        )

    def _row(
        self, predicted: Population | Exception, about: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Score a prediction, or say why there is none; as plain values."""
        if isinstance(predicted, Exception):
            notes = (f"{type(predicted).__name__}: {predicted}",)
            empty = dict.fromkeys([*columns(self.metrics), "w1_half", "energy_half"], math.nan)
            counts = {"n_predicted": 0, "n_observed": len(self.problem.held_out), "n_half": 0}
            found = Scores(empty | counts, {}, notes)
        else:
            splits = self.problem.halves(self.n_splits)
            found = score(predicted, self.problem.held_out, splits, chosen=self.metrics, seed=SEED)
        return _as_plain(found) | dict(about or {})


def _as_plain(scores: Scores) -> dict[str, Any]:
    splits = {name: list(values) for name, values in scores.splits.items()}
    return {"values": dict(scores.values), "splits": splits, "notes": list(scores.notes)}


def _without_model(name: str) -> dict[str, Any]:
    return {"method": name, "protocol": "", "seed": None, "kind": "baseline", "seconds": 0.0}


def _cloud(name: str, cloud: Population) -> dict[str, FloatArray]:
    """A cloud for pictures; real cells say which ones they are."""
    few = thinned(cloud, _DRAWN, seed=SEED)
    made: dict[str, Any] = {f"{name}|x": few.x.astype(np.float32), f"{name}|weight": few.weight}
    return made | ({f"{name}|rows": few.index} if name in _REAL else {})


@dataclass(frozen=True, eq=False)
class Baseline(Judged):
    """A baseline or the floor, scored once whatever the seeds."""

    name: str

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        return self._hash("baseline", self.name)

    def run(self) -> Outcome:
        """Predict and score."""
        problem = self.problem
        about: dict[str, Any] = _without_model(self.name)
        if self.name == FLOOR:
            found = score_floor(
                problem.held_out, problem.halves(self.n_splits), chosen=self.metrics, seed=SEED
            )
            cloud = _cloud(_OBSERVED, problem.held_out)
            return Outcome([_as_plain(found) | about | {"kind": "floor"}], cloud)
        begun = clock.perf_counter()
        try:
            predicted = _BASELINES[self.name](
                problem.rest, problem.time, stream(SEED, BASELINES.index(self.name))
            )
        except Exception as error:  # noqa: BLE001 (the rest of the table stands)
            return Outcome([self._row(error, about)], {}, complete=False)
        seconds = clock.perf_counter() - begun
        return Outcome(
            [self._row(predicted, about | {"seconds": seconds})], _cloud(self.name, predicted)
        )


@dataclass(frozen=True, eq=False)
class Model(Judged):
    """A method with one seed, by all protocols."""

    method: Method
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
        except Exception as error:  # noqa: BLE001 (a method that fails leaves the rest of the table intact)
            return Outcome(
                [self._row(error, self._about(p, math.nan)) for p in self.protocols],
                {},
                complete=False,
            )
        rows: list[dict[str, Any]] = []
        clouds: dict[str, FloatArray] = {}
        scored: dict[str, dict[str, Any]] = {}
        for protocol, (cells, seconds, said) in predicted.items():
            same = next(
                (
                    p
                    for p, (other, _, _) in predicted.items()
                    if p in scored and _equal(other, cells)
                ),
                None,
            )
            if same is None:
                scored[protocol] = self._row(cells)
            row = scored[same or protocol]
            rows.append(
                row
                | self._about(protocol, seconds)
                | {"notes": [*row["notes"], *dict.fromkeys(said)]}
            )
            clouds |= _cloud(f"{self.method.name}, {protocol}", cells)
        return Outcome(rows, clouds)

    def _about(self, protocol: str, seconds: float) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "protocol": protocol,
            "seed": self.seed,
            "kind": "model",
            "seconds": seconds,
        }

    def _predicted(self) -> dict[Protocols, tuple[Population, float, list[str]]]:
        """Populations by protocol with the seconds that they took and what was warned of, in the order of the protocols."""
        method: Method = self.method
        rest = self.problem.rest
        time = self.problem.time
        begun = clock.perf_counter()
        with collected() as said:
            if isinstance(method, Trained):
                method = method.fitted(rest, random_state=self.seed, plans=self.plans)
            found = {} if isinstance(method, Fitted) else method(rest, time, random_state=self.seed)
        seconds = clock.perf_counter() - begun
        if isinstance(method, Fitted):
            predicted = {}
            for way in self.protocols:
                with collected() as more:
                    cells, seconds = method.predicted(rest, time, way)
                predicted[way] = (cells, seconds, said + more)
            return predicted
        if (
            not isinstance(found, Mapping)
            or set(found) - set(PROTOCOLS)
            or not set(found) & set(self.protocols)
        ):
            shown: object = (
                sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            )
            wanted = list(self.protocols)
            msg = (
                f"The method {method.name!r} returned {shown}; expected populations by protocol,"
                f" some of {wanted}."
            )
            raise InputError(msg)
        for protocol, cells in found.items():
            if not isinstance(cells, Population) or cells.x.shape[1] != rest.n_dims:
                shown = (
                    f"shape {cells.x.shape}"
                    if isinstance(cells, Population)
                    else type(cells).__name__
                )
                msg = (
                    f"The method {method.name!r} returned {shown} for {protocol}; expected a"
                    f" Population of {rest.n_dims} dimensions."
                )
                raise InputError(msg)
        return {p: (found[p], seconds, said) for p in self.protocols if p in found}


@dataclass(frozen=True, eq=False)
class OwnPath(Judged):
    """The paths of a recipe without its network."""

    method: Trained
    plans: Coupled | None = None

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        return self._hash("own path", description(self.method))

    def run(self) -> Outcome:
        """Couple, move the pairs along their paths, and score."""
        problem = self.problem
        name = f"{self.method.name}, no network"
        about = _without_model(name)
        begun = clock.perf_counter()
        try:
            plans = (
                couple(problem.rest, self.method.recipe, scale=self.method.scale)
                if self.plans is None
                else self.plans
            )
            solved = 0.0 if self.plans is None else self.plans.seconds(self.method.recipe)
            predicted = path_interpolation(
                problem.rest, problem.time, self.method.recipe, plans=plans
            )
        except Exception as error:  # noqa: BLE001 (as for a method)
            return Outcome([self._row(error, about)], {}, complete=False)
        seconds = clock.perf_counter() - begun + solved
        return Outcome(
            [self._row(predicted, about | {"seconds": seconds})], _cloud(name, predicted)
        )


@dataclass(frozen=True, eq=False)
class Plans:
    """The plans of one coupling around one held-out snapshot, with the paths of all methods that share them.

    Parameters
    ----------
    problem
        What is held out from what.
    methods
        Who shares them.
    solved
        The plans, where they are there already and only paths are missing.
    """

    problem: Problem
    methods: tuple[Trained, ...]
    solved: Coupled | None = None

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""
        method = self.methods[0]
        return digest(self.problem.fingerprint, describe(method.recipe.coupling), method.scale)

    def run(self) -> Outcome:
        """Solve and prepare; None where that fails, which the fit will meet again and report in its row."""
        first = self.methods[0]
        rest = self.problem.rest
        try:
            plans = (
                couple(rest, first.recipe, scale=first.scale)
                if self.solved is None
                else self.solved
            )
            for method in self.methods:
                plans = plans.prepared(rest, method.recipe)
        except Exception:  # noqa: BLE001 (said above)
            return Outcome(None, {}, complete=False)
        return Outcome(plans, {}, complete=False)


def _equal(a: Population, b: Population) -> bool:
    return (
        a.x.shape == b.x.shape and np.array_equal(a.x, b.x) and np.array_equal(a.weight, b.weight)
    )


def read_row(problem: Problem, row: Mapping[str, Any]) -> Row:
    """A row from plain values; the label of the coordinates is the caller's."""
    splits = {name: tuple(values) for name, values in row["splits"].items()}
    scores = Scores(row["values"], splits, tuple(row["notes"]))
    share = problem.n_half / max(1, int(np.count_nonzero(problem.held_out.weight)))
    named = {key: row[key] for key in ("method", "protocol", "seed", "kind")}
    return Row(
        problem.time,
        scores=scores,
        seconds=row["seconds"],
        representation=problem.representation,
        half_share=share,
        **named,
    )
