"""The score of one population, learned from its cells alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from cellflow.core._arguments import check_arguments
from cellflow.core._drawing import Drawing
from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.frame import Frame, Scale
from cellflow.core.population import Clock, Population, Snapshots
from cellflow.errors import InputTypeError
from cellflow.fields import MLP, Builder, NoiseConditional
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder, Moments
from cellflow.objectives import Objective, denoising_score_matching
from cellflow.simulation import annealed_langevin
from cellflow.simulation.langevin import LevelScore
from cellflow.training import Callback, History, PopulationStream, Training, train

__all__ = ["PopulationScore", "fit_score"]

_TRAINING = Training()


@dataclass(frozen=True, eq=False)
class PopulationScore:
    """A learned score of one population; positions go in and come out in data coordinates.

    Parameters
    ----------
    network
        The score at all noise levels, in model coordinates.
    frame
        Change of coordinates between the data and the model.
    time
        Of the population.
    history
        What training did, arrays by name.
    seed
        Of the run.
    """

    network: NoiseConditional
    frame: Frame
    time: float
    history: History
    seed: int

    @property
    def ladder(self) -> Ladder:
        """The noise levels, in model coordinates."""
        return self.network.ladder

    @property
    def at_level(self) -> LevelScore:
        """The score in model coordinates, `(x, noise) -> (n, d)`."""
        time = torch.tensor(self.time, dtype=torch.float64)
        return lambda x, noise: self.network(time, x, noise)

    @guarded
    def score(self, x: FloatArray, *, noise: float) -> FloatArray:
        """Score at `x (n, d)` under noise of a level (in model coordinates), shape `(n, d)`."""
        z = Rows.of(self.frame.to_model(x)).to("cpu", torch.float32)
        level = as_number("noise", noise)
        with torch_threads(), torch.no_grad():
            found = z.evaluate(lambda rows: self.at_level(rows.x, level))
        return self.frame.score_to_data(found.numpy())

    @guarded
    def sample(self, n: int, *, random_state: RandomState = 0, n_steps: int = 10) -> FloatArray:
        """Draw `n` cells by annealed Langevin dynamics, shape `(n, d)`; see `annealed_langevin`."""
        seed = as_seed(random_state)
        d = len(self.frame.shift)
        n = as_count("n", n, each=8 * d)
        z = torch.from_numpy(stream(seed).standard_normal((n, d)))
        start = self.network.starting_points(torch.tensor(self.time), z).numpy()
        with torch_threads():
            drawn = annealed_langevin(
                self.at_level, self.ladder, start, n_steps=n_steps, random_state=seed
            )
        return self.frame.to_data(drawn)


def _require_population(population: object) -> None:
    if not isinstance(population, Population):
        one = " Pass one of its populations: snapshots[0]."
        hint = one if isinstance(population, Snapshots) else ""
        msg = f"population is of type {type(population).__name__}; expected a Population.{hint}"
        raise InputTypeError(msg)


@guarded
def fit_score(
    population: Population,
    *,
    objective: Objective = denoising_score_matching,
    ladder: Ladder | None = None,
    field: Builder = MLP,
    levels: bool = True,
    scale: Scale = "joint",
    training: Training = _TRAINING,
    random_state: RandomState = 0,
    threads: int = 1,
    progress: bool | None = None,
    callback: Callback | None = None,
) -> PopulationScore:
    """Learn the score of one population, at all levels of a ladder of noise.

    Parameters
    ----------
    population
        Cells in data coordinates.
    objective
        `denoising_score_matching`, `sliced_score_matching` or `implicit_score_matching` of
        `cellflow.objectives`.
    ladder
        Noise levels in model coordinates; taken from the cells by default.
    field
        Builds the network inside the score.
    levels
        Whether cells are perturbed with the levels of the ladder. Without, the score of the cells
        themselves (`noise=0`) is learned, which sliced and implicit score matching can do, and
        which overfits few cells.
    scale
        Of the model's frame, see `Frame.fitted`.
    training
        Settings of the training loop.
    random_state
        Seed of the run.
    threads
        Torch threads.
    progress, callback
        As of `cellflow.fit`.

    Returns
    -------
    The fitted `PopulationScore`.

    Raises
    ------
    InputError
        A population of one distinct cell, or an objective that needs noise where there is none.
    TrainingError
        A loss that is not finite.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, 2019.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> score = cf.fit_score(snapshots[0])
    >>> score.sample(10).shape
    (10, 2)
    """
    check_arguments(fit_score, locals())
    _require_population(population)
    seed = as_seed(random_state)
    snapshots = Snapshots((population,))
    frame = Frame.fitted(snapshots, scale)
    inside = frame.snapshots_to_model(snapshots)
    ladder = Ladder.fitted(inside) if ladder is None else ladder
    # One population has no span of time; its time is the middle of an arbitrary one.
    clock = Clock(population.time - 1.0, population.time + 1.0, 1.0, 1.0)
    with Drawing(seed):
        network = NoiseConditional(
            inside.n_dims,
            clock,
            ladder=ladder,
            moments=Moments.fitted(inside, noise=ladder.smallest**2),
            field=field,
        )
    source = PopulationStream(
        inside[0],
        batch_size=training.batch_size,
        validation=training.validation,
        seed=seed,
        levels=levels,
    )
    with torch_threads(threads):
        trained, history = train(
            Dynamics(nn.Identity(), network),
            source,
            {"score": objective},
            training,
            seed=seed,
            progress=progress,
            callback=callback,
        )
    head = trained.eval().score
    return PopulationScore(head, frame, population.time, history, seed)  # type: ignore[arg-type]
