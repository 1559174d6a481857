"""A method of the literature is one short function that returns a `Recipe`."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cellflow.core.frame import Scale
from cellflow.couplings import Auto, Coupling, Entropic, Independent, Unbalanced
from cellflow.errors import InputError, closest
from cellflow.fields import MLP, Builder
from cellflow.model.description import describe, from_description, unknown_networks
from cellflow.model.recipe import Head, Recipe
from cellflow.objectives import velocity_matching
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
from cellflow.training import Training

__all__ = [
    "DEFAULT",
    "Head",
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
    "summary",
    "unknown_networks",
    "uot_cfm",
    "vp_cfm",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


_TRAINING = Training()


def _cfm(name: str, coupling: Coupling, path: Path, field: Builder, training: Training) -> Recipe:
    """Conditional flow matching: a velocity alone."""
    heads = {"velocity": Head(field, velocity_matching)}
    return Recipe(name, coupling, path, heads, training=training)


def i_cfm(
    *, smoothing: float = 0.1, field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Conditional flow matching between independently drawn cells, the baseline of all methods.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024, section 3.2.2 (arXiv 2302.00482); Lipman et al., Flow
    matching for generative modeling, ICLR 2023.
    """
    return _cfm("i-cfm", Independent(), Linear(smoothing), field, training)


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
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024, section 3.2.3 (arXiv 2302.00482).

    Examples
    --------
    >>> cf.recipes.ot_cfm().name
    'ot-cfm'
    """
    return _cfm("ot-cfm", coupling or Auto(), Linear(smoothing), field, training)


def curved_cfm(
    *,
    coupling: Coupling | None = None,
    smoothing: float = 0.1,
    field: Builder = MLP,
    training: Training = _TRAINING,
) -> Recipe:
    """Flow matching along curved paths, which depend on the snapshots around them.

    Straight paths between two snapshots miss the bend of the population's own path, and on real
    time courses most of their error is that. Here the paths leave and arrive with the velocities of
    the neighbouring intervals, keep to where cells are dense, are drawn to cells that two snapshots
    share, and are warped in time, because cells of one snapshot are at different stages; in twenty
    dimensions and more, they keep the variance of the residuals of cells from their neighbours.

    The curvature and the shift to dense places were chosen on the held-out snapshots of the
    embryoid bodies of the published tables; the attraction, the warp and the limit on curvature
    were chosen on other sets, after which all constants were frozen. So the default's figure on
    that one set is a development figure. None of the corrections changes the mean velocity of a
    population in uniform motion.

    References
    ----------
    The parts' own (see `cellflow.paths`). The combination is ours.

    Examples
    --------
    >>> cf.recipes.curved_cfm().name
    'curved-cfm'
    """
    path = TimeWarped(
        ResidualRotated(OverlapAttracted(DensityCorrected(LimitedHermite(smoothing))))
    )
    return _cfm("curved-cfm", coupling or Auto(), path, field, training)


def uot_cfm(
    *,
    tau: float = 1.0,
    coupling: Coupling | None = None,
    smoothing: float = 0.1,
    field: Builder = MLP,
    training: Training = _TRAINING,
) -> Recipe:
    r"""Velocity and growth, by flow matching between cells paired by unbalanced transport.

    Pairs carry mass along straight paths, :math:`\mu^{1-s} \nu^s`, so that the weighted snapshots
    are carried into each other while cells stay near (see `cellflow.core.plans.growing`). Nothing
    is simulated during training.

    Parameters
    ----------
    tau
        Strength with which the plan keeps the weights of the cells; see `couplings.Unbalanced`.
    coupling
        Another coupling than `Unbalanced(tau)`.
    smoothing, field, training
        As of `ot_cfm`.

    References
    ----------
    Eyring et al., Unbalancedness in neural Monge maps improves unpaired domain translation, ICLR
    2024 (flow matching on unbalanced plans); Sha et al., Reconstructing growth and dynamic
    trajectories from single-cell transcriptomics data, Nat. Mach. Intell. 2024 (velocity and growth
    by simulation). Growth by regression on the masses of pairs is ours.

    Examples
    --------
    >>> cf.recipes.uot_cfm().name
    'uot-cfm'
    """
    plain = _cfm("uot-cfm", coupling or Unbalanced(tau), Linear(smoothing), field, training)
    return plain.with_growth()


def sb_cfm(
    *, sigma: float | Literal["auto"] = "auto", field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Probability flow of the Schroedinger bridge: entropic plan and Brownian bridges.

    The regularisation is that of the bridge, epsilon = 2 sigma^2 dt for squared Euclidean cost, on
    the whole populations.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024, section 3.2.5 (arXiv 2302.00482).
    """
    return _cfm("sb-cfm", Entropic(sigma=sigma), BrownianBridge(sigma), field, training)


def sf2m(
    *,
    coupling: Coupling | None = None,
    sigma: float | Literal["auto"] = "auto",
    field: Builder = MLP,
    score: Builder = MLP,
    training: Training | None = None,
) -> Recipe:
    """Schroedinger bridge by flow and score matching: velocity and score of Brownian bridges.

    With the entropic plan of the whole populations (epsilon = 2 sigma^2 dt, the default) the
    diffusion with the bridge's own sigma is the Schroedinger bridge. `coupling=Auto()`, exact
    transport, is the variant that the paper calls exact.

    References
    ----------
    Tong, Malkin, Fatras, Atanackovic, Zhang, Huguet, Wolf, Bengio, Simulation-free Schrödinger
    bridges via score and flow matching, AISTATS 2024 (arXiv 2307.03672).

    Examples
    --------
    >>> cf.recipes.sf2m().name
    'sf2m'
    """
    plain = _cfm("sf2m", coupling or Entropic(sigma=sigma), BrownianBridge(sigma), field, _TRAINING)
    return plain.with_score(score, training=training)


def vp_cfm(
    *, smoothing: float = 0.1, field: Builder = MLP, training: Training = _TRAINING
) -> Recipe:
    """Variance-preserving (trigonometric) paths between independently drawn cells.

    References
    ----------
    Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023
    (arXiv 2209.15571); VP-CFM of Tong et al., TMLR 2024.
    """
    return _cfm("vp-cfm", Independent(), Trigonometric(smoothing), field, training)


def fm(*, smallest: float = 0.01, field: Builder = MLP, training: Training = _TRAINING) -> Recipe:
    """Flow matching from noise: cells of any measured time and condition are generated.

    Noise becomes cells in an artificial time from 0 to 1; the experiment's time is a feature beside
    the condition's. Nothing is coupled: every cell is the end of paths from all of the
    noise.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023 (arXiv 2210.02747), the
    conditional paths that it calls optimal transport.

    Examples
    --------
    >>> cf.recipes.fm().name
    'fm'
    """
    return _cfm("fm", Independent(), FromNoise(smallest), field, training)


#: The method of a fit that names none: the winner over all benchmark sets (benchmarks/README.md).
DEFAULT = "curved-cfm"

_METHODS = {
    recipe().name: recipe
    for recipe in (curved_cfm, fm, i_cfm, ot_cfm, sb_cfm, sf2m, uot_cfm, vp_cfm)
}


def by_name(method: str | Recipe, *, scale: Scale | None = None) -> Recipe:
    """Return the recipe of a method's name (`"ot-cfm"`), or the recipe itself.

    `scale` replaces that of the recipe.

    Raises
    ------
    InputError
        A name that is no method's.

    Examples
    --------
    >>> cf.recipes.by_name("ot-cfm").coupling
    Auto(tol=0.001)
    """
    if not isinstance(method, Recipe):
        name = method.replace("_", "-") if isinstance(method, str) else ""
        if name not in _METHODS:
            msg = (
                f"method={method!r} is neither a Recipe nor one of"
                f" {sorted(_METHODS)}{closest(method, _METHODS)}"
            )
            raise InputError(msg)
        method = _METHODS[name]()
    return method if scale is None else replace(method, scale=scale)


def summary(method: str) -> str:
    """What a method is, in one sentence; empty for a name that is not here.

    Examples
    --------
    >>> summary("ot-cfm")
    'Flow matching along straight paths between cells paired by optimal transport.'
    """
    recipe = _METHODS.get(method)
    return (recipe.__doc__ or "").splitlines()[0] if recipe is not None else ""
