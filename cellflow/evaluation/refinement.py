"""Effect of refinement by the score on the distance to held-out cells."""

from __future__ import annotations

from dataclasses import dataclass

from cellflow.analysis.prediction import predict
from cellflow.analysis.refinement import refine
from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation.baselines import around
from cellflow.metrics import c2st, wasserstein
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow
from cellflow.model.recipes import Recipe, sf2m

__all__ = ["RefinementScore", "held_out_refinement", "score_refinement"]


@dataclass(frozen=True)
class RefinementScore:
    """A population before and after refinement, against real cells.

    Parameters
    ----------
    time
        Of the real cells.
    noise
        Standard deviation of the noise that was removed, in model coordinates.
    w1_before, w1_after
        Exact Wasserstein distances to the real cells, in data coordinates.
    c2st_before, c2st_after
        Accuracy of a classifier between predicted and real cells; 0.5 is chance. NaN where there
        are too few cells.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> before = snapshots[0].x + 0.1
    >>> found = cf.evaluation.score_refinement(snapshots[0], before, snapshots[0].x, noise=0.0)
    >>> found.noise
    0.0
    """

    time: float
    noise: float
    w1_before: float
    w1_after: float
    c2st_before: float
    c2st_after: float

    @property
    def helps(self) -> bool:
        """Whether the refined population is at least as near as the given one."""
        return self.w1_after <= self.w1_before


@guarded
@accepts(seed=Renamed("random_state"))
def score_refinement(
    real: Population,
    before: FloatArray,
    after: FloatArray,
    *,
    noise: float,
    weight: FloatArray | None = None,
    random_state: RandomState = 0,
) -> RefinementScore:
    """Compare a population before and after refinement with real cells.

    Parameters
    ----------
    real
        Cells that the model has not seen.
    before, after
        Shape `(n, d)`.
    noise
        Standard deviation of the noise that was removed.
    weight
        Of the cells before and after, shape `(n,)`.
    random_state
        Seed of the classifier.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> before = snapshots[0].x + 0.1
    >>> found = cf.evaluation.score_refinement(snapshots[0], before, snapshots[0].x, noise=0.0)
    >>> found.w1_after < found.w1_before
    True
    """
    seed = as_seed(random_state)
    distances = [
        wasserstein(x, real.x, x_weight=weight, y_weight=real.weight) for x in (before, after)
    ]
    accuracies = [_accuracy(x, real, weight, seed) for x in (before, after)]
    return RefinementScore(real.time, noise, *distances, *accuracies)


def _accuracy(x: FloatArray, real: Population, weight: FloatArray | None, seed: int) -> float:
    try:
        return c2st(x, real.x, x_weight=weight, y_weight=real.weight, random_state=seed).accuracy
    except InputError:
        return float("nan")


@guarded
def held_out_refinement(
    snapshots: Snapshots,
    time: float,
    *,
    noise: float = 0.0,
    recipe: Recipe | None = None,
    scale: Scale | None = None,
    random_state: RandomState = 0,
    threads: int = 1,
    progress: bool | None = None,
) -> RefinementScore:
    """Fit without one snapshot, add noise to its prediction, and score the refinement of that.

    Parameters
    ----------
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot to leave out; one before and one after it must remain.
    noise
        Standard deviation of the noise that is added to the prediction and then removed, in model
        coordinates; choose that of the population in question. With 0, before and after are the
        same.
    recipe
        A method with a score; `sf2m()` by default.
    scale, random_state, threads, progress
        Of the fit.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.sf2m(training=Training(steps=20))
    >>> found = cf.evaluation.held_out_refinement(snapshots, 1.0, recipe=quick)
    >>> found.time
    1.0
    """
    held_out = snapshots.at(time)
    rest = snapshots.without(time)
    seed = as_seed(random_state)
    around(rest, time)  # before any work
    flow: Flow = fit(
        rest,
        sf2m() if recipe is None else recipe,
        scale=scale,
        random_state=seed,
        threads=threads,
        progress=progress,
    )
    predicted = predict(flow, rest, time)
    noisy = predicted.x + noise * flow.frame.scale * stream(seed).standard_normal(predicted.x.shape)
    noise = min(noise, flow.ladder.largest)
    refined = refine(flow, noisy, time, noise=noise)
    return score_refinement(
        held_out, noisy, refined, noise=noise, weight=predicted.weight, random_state=seed
    )
