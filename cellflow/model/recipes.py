"""A method of the literature is one short function that returns a `Recipe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from types import FunctionType
from typing import Any, Literal

import numpy as np

from cellflow import couplings, fields, objectives, paths
from cellflow.core.population import Clock
from cellflow.couplings import Auto, Coupling, Entropic, Independent
from cellflow.errors import InputError, closest
from cellflow.fields import MLP, Builder
from cellflow.fields.ladder import Ladder
from cellflow.objectives import Objective, denoising_score_matching, velocity_matching
from cellflow.paths import (
    BrownianBridge,
    DensityCorrected,
    FromNoise,
    LimitedHermite,
    Linear,
    OverlapAttracted,
    Path,
    ResidualRotated,
    TimeWarped,
    Trigonometric,
)
from cellflow.paths.base import as_path
from cellflow.training import Training

__all__ = [
    "DEFAULT",
    "Recipe",
    "by_name",
    "curved_cfm",
    "describe",
    "fm",
    "from_description",
    "i_cfm",
    "ot_cfm",
    "sb_cfm",
    "sf2m",
    "unknown_networks",
    "vp_cfm",
]

_TRAINING = Training()


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a method, short of the data.

    Parameters
    ----------
    name
        As the literature has it.
    coupling
        Who becomes whom.
    path
        How it gets there.
    field
        Builds the velocity network, called as `field(dim, clock)`; `functools.partial` of a class
        of `cellflow.fields` fixes its options.
    objectives
        What is regressed, by name.
    training
        How.
    score
        Builds the network inside the score, called like `field` (see
        `cellflow.fields.NoiseConditional`); None for a dynamics without a score.
    ladder
        Noise levels of the score, in model coordinates; None takes them from the cells
        (`Ladder.fitted`).
    """

    name: str
    coupling: Coupling
    path: Path
    field: Builder = MLP
    objectives: Mapping[str, Objective] = dataclasses.field(
        default_factory=lambda: {"velocity": velocity_matching}
    )
    training: Training = _TRAINING
    score: Builder | None = None
    ladder: Ladder | None = None

    def with_score(
        self,
        score: Builder = MLP,
        *,
        ladder: Ladder | None = None,
        objective: Objective = denoising_score_matching,
        training: Training | None = None,
    ) -> Recipe:
        """Return the same method, which learns the score of the marginals beside the velocity.

        A score at all noise levels is more to learn than a velocity: by default, training takes
        twice the steps.
        """
        longer = (
            replace(self.training, steps=2 * self.training.steps) if training is None else training
        )
        objectives = {**self.objectives, "score": objective}
        return replace(self, score=score, ladder=ladder, objectives=objectives, training=longer)

    def resolved(self, clock: Clock) -> Recipe:
        """Replace every `sigma="auto"` by the number that it stands for in this experiment."""
        coupling = self.coupling
        if getattr(coupling, "sigma", None) == "auto":
            coupling = replace(coupling, sigma=clock.sigma)  # type: ignore[type-var] # a dataclass
        return replace(self, coupling=coupling, path=as_path(self.path).resolved(clock))

    @property
    def generates(self) -> bool:
        """Whether cells are made from noise, in an artificial time, instead of moved between snapshots."""
        return as_path(self.path).generates

    @property
    def sigma(self) -> float:
        """Diffusion of the path, per square root of time; zero for a deterministic one."""
        return float(as_path(self.path).sigma)


def i_cfm(
    *, smoothing: float = 0.1, field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Conditional flow matching between independently drawn cells: the baseline of every other method.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal transport, TMLR 2024,
    section 3.2.2 (arXiv 2302.00482); Lipman et al., Flow matching for generative modeling, ICLR 2023.
    """
    return Recipe("i-cfm", Independent(), Linear(smoothing), field, training=training)


def ot_cfm(
    *,
    coupling: Coupling | None = None,
    smoothing: float = 0.1,
    field: Builder = MLP,
    training: Training = _TRAINING,
) -> Recipe:
    """Flow matching along straight paths between cells paired by optimal transport.

    The paper solves transport within minibatches; here the plan is that of the whole populations,
    solved once.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal transport, TMLR 2024,
    section 3.2.3 (arXiv 2302.00482).
    """
    return Recipe("ot-cfm", coupling or Auto(), Linear(smoothing), field, training=training)


def curved_cfm(
    *,
    coupling: Coupling | None = None,
    smoothing: float = 0.1,
    field: Builder = MLP,
    training: Training = _TRAINING,
) -> Recipe:
    """Flow matching along curved paths, which know the snapshots around them.

    Straight paths between two snapshots miss the bend of the population's own path, and on real
    time courses most of their error is that. Here the paths leave and arrive with the velocities of
    the neighbouring intervals, keep to where cells are dense, are drawn to cells that two snapshots
    share, and are warped in time, because cells of one snapshot are not in step; in twenty
    dimensions and more, they keep the variance of the residuals of cells from their neighbours.

    The curvature and the shift to dense places were found with the held-out snapshots of the
    embryoid bodies of the published tables in sight; the attraction, the warp and the limit on
    curvature were chosen on other sets, after which all constants were frozen. So the default's
    figure on that one set is a development figure. None of the corrections changes the mean
    velocity of a population in uniform motion.

    References
    ----------
    The parts' own (see `cellflow.paths`). The combination is ours.
    """
    path = TimeWarped(
        ResidualRotated(OverlapAttracted(DensityCorrected(LimitedHermite(smoothing))))
    )
    return Recipe("curved-cfm", coupling or Auto(), path, field, training=training)


def sb_cfm(
    *, sigma: float | Literal["auto"] = "auto", field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Probability-flow dynamics of the Schroedinger bridge: entropic plan and Brownian bridges of one diffusion.

    The regularisation is that of the bridge, epsilon = 2 sigma^2 dt for squared Euclidean cost, on
    the whole populations.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal transport, TMLR 2024,
    section 3.2.5 (arXiv 2302.00482).
    """
    return Recipe("sb-cfm", Entropic(sigma=sigma), BrownianBridge(sigma), field, training=training)


def sf2m(
    *,
    coupling: Coupling | None = None,
    sigma: float | Literal["auto"] = "auto",
    field: Builder = MLP,
    score: Builder = MLP,
    training: Training | None = None,
) -> Recipe:
    """Schroedinger bridge by flow and score matching: velocity and score of one mixture of Brownian bridges.

    With the entropic plan of the whole populations (epsilon = 2 sigma^2 dt, the default) the
    diffusion with the bridge's own sigma is the Schroedinger bridge. `coupling=Auto()`, exact
    transport, is the variant that the paper calls exact.

    References
    ----------
    Tong, Malkin, Fatras, Atanackovic, Zhang, Huguet, Wolf, Bengio, Simulation-free Schrödinger bridges via score and flow
    matching, AISTATS 2024 (arXiv 2307.03672).
    """
    return Recipe(
        "sf2m", coupling or Entropic(sigma=sigma), BrownianBridge(sigma), field
    ).with_score(score, training=training)


def vp_cfm(
    *, smoothing: float = 0.1, field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Variance-preserving (trigonometric) paths between independently drawn cells.

    References
    ----------
    Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023 (arXiv 2209.15571);
    VP-CFM of Tong et al., TMLR 2024.
    """
    return Recipe("vp-cfm", Independent(), Trigonometric(smoothing), field, training=training)


def fm(*, smallest: float = 0.01, field: Builder = MLP, training: Training = _TRAINING) -> Recipe:
    """Flow matching from noise: cells of any measured time and condition are generated, and none is moved.

    Noise becomes cells in an artificial time from 0 to 1; the experiment's time is a feature beside
    the condition's. There is nothing to couple: every cell is the end of paths from all of the
    noise.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023 (arXiv 2210.02747), the conditional paths that it calls
    optimal transport.
    """
    return Recipe("fm", Independent(), FromNoise(smallest), field, training=training)


#: The method of a fit that names none: the winner over all benchmark sets (benchmarks/README.md).
DEFAULT = "curved-cfm"

_METHODS = {
    recipe().name: recipe for recipe in (curved_cfm, fm, i_cfm, ot_cfm, sb_cfm, sf2m, vp_cfm)
}


def by_name(method: str | Recipe) -> Recipe:
    """Return the recipe of a method's name (`"ot-cfm"`), or the recipe itself."""
    if isinstance(method, Recipe):
        return method
    if not isinstance(method, str) or method.replace("_", "-") not in _METHODS:
        msg = (
            f"method={method!r} is neither a Recipe nor one of"
            f" {sorted(_METHODS)}{closest(method, _METHODS)}"
        )
        raise InputError(msg)
    return _METHODS[method.replace("_", "-")]()


def describe(part: object) -> Any:
    """Turn a recipe, or a part of one, into plain dicts, lists, numbers and strings for provenance.

    Examples
    --------
    >>> describe(Linear(smoothing=0.2))
    {'type': 'Linear', 'smoothing': 0.2}
    """
    if isinstance(part, partial):
        return {
            "type": part.func.__name__,
            **{key: describe(value) for key, value in part.keywords.items()},
        }
    if isinstance(part, type | FunctionType):
        return {"type": part.__name__}
    if is_dataclass(part) and not isinstance(part, type):
        return {
            "type": type(part).__name__,
            **{f.name: describe(getattr(part, f.name)) for f in dataclasses.fields(part)},
        }
    if isinstance(part, Mapping):
        return {str(key): describe(value) for key, value in part.items()}
    if isinstance(part, np.generic):
        return part.item()
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, tuple | list):
        return [describe(item) for item in part]
    return {"type": type(part).__name__}


def from_description(described: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `describe` described, of parts that cellflow knows.

    Raises
    ------
    InputError
        A part of somebody's own, which plain values cannot bring back.

    Examples
    --------
    >>> from_description(describe(ot_cfm(smoothing=0.2))).path
    Linear(smoothing=0.2)
    """
    recipe = _made(described)
    if not isinstance(recipe, Recipe):
        msg = f"These values describe a {type(recipe).__name__}, not a recipe."
        raise InputError(msg)
    return recipe


def coupling_from(described: Mapping[str, Any]) -> Coupling:
    """Return the coupling of the recipe that `describe` described; its other parts may be anybody's.

    Raises
    ------
    InputError
        A coupling of somebody's own, which plain values cannot bring back.

    Examples
    --------
    >>> coupling_from(describe(ot_cfm(coupling=couplings.Exact())))
    Exact(max_cells=8000)
    """
    made: Coupling = _made(described["coupling"])
    return made


def unknown_networks(recipe: Recipe) -> list[str]:
    """Name the parts of a recipe's networks that `describe` cannot keep, so that a stored fit could not be asked again.

    Examples
    --------
    >>> unknown_networks(ot_cfm())
    []
    """
    return [
        name for part in (recipe.field, recipe.score) if part is not None for name in _unknown(part)
    ]


def _unknown(part: object) -> Iterator[str]:
    """Whatever in a network's builder is neither of `cellflow.fields` nor a plain value."""
    if isinstance(part, partial):
        yield from _unknown(part.func)
        for value in part.keywords.values():
            yield from _unknown(value)
        if part.args:
            yield f"partial with unnamed arguments {part.args!r}"
    elif isinstance(part, tuple | list):
        for value in part:
            yield from _unknown(value)
    elif not (part is None or isinstance(part, bool | int | float | str | np.generic)):
        name = str(getattr(part, "__name__", type(part).__name__))
        if name not in fields.__all__ or getattr(fields, name) is not part:
            yield name


def _made(described: Any) -> Any:
    """The inverse of `describe`."""
    if isinstance(described, list):
        return tuple(_made(item) for item in described)
    if not isinstance(described, Mapping):
        return described
    parts = {key: _made(value) for key, value in described.items() if key != "type"}
    if "type" not in described:
        return parts
    name = described["type"]
    kind: Any = {"Recipe": Recipe, "Training": Training, "Ladder": Ladder}.get(name)
    for family in (couplings, paths, fields, objectives):
        kind = getattr(family, name) if name in family.__all__ else kind
    if kind is None:
        msg = (
            f"The recipe has a part of type {name!r}, which cellflow does not have and cannot bring"
            " back."
        )
        raise InputError(msg)
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**parts)
    return partial(kind, **parts) if parts else kind
