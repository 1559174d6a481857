"""What a method is made of: coupling, path, named heads, training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cellflow.core._display import Compact
from cellflow.core._warn import warn
from cellflow.core.frame import Scale
from cellflow.core.population import Clock
from cellflow.couplings import Coupling, Lineage
from cellflow.couplings.base import with_sigma
from cellflow.errors import InputError, InputTypeError
from cellflow.fields import MLP, Builder
from cellflow.fields.dynamics import head_order
from cellflow.fields.ladder import Ladder
from cellflow.objectives import (
    Objective,
    denoising_score_matching,
    growth_matching,
    velocity_matching,
)
from cellflow.paths import Path
from cellflow.paths.base import as_path
from cellflow.training import Training

__all__ = ["Head", "Recipe"]

_TRAINING = Training()
#: Network of a rate, one number per cell.
_RATE = partial(MLP, out_dim=1)
#: Stands for an argument that was not passed, where None has a meaning.
_ABSENT: Any = object()


@dataclass(frozen=True, repr=False)
class Head(Compact):
    """One network of a method, and what it is trained by.

    Parameters
    ----------
    network
        Builds the network, called as `network(dim, clock)`; `functools.partial` of a class of
        `cellflow.fields` fixes its options. None for an objective on the other heads, such as a
        penalty.
    objective
        Its loss, `(dynamics, sample) -> scalar`, see `cellflow.objectives`.
    along
        Name of the quantity whose rate per unit of time the network is, `(t, x) -> (n,)`. It is
        integrated beside the state by `Flow.simulate` and `Flow.diffuse`; `"log_weight"` is the
        logarithm of a cell's mass. None for any other head.
    """

    network: Builder | None
    objective: Objective
    along: str | None = None


@dataclass(frozen=True, init=False, repr=False)
class Recipe(Compact):
    """A method without data.

    Parameters
    ----------
    name
        As the literature has it.
    coupling
        Which cells of two snapshots are paired.
    path
        How a pair is connected.
    heads
        Networks with their objectives by name. `"velocity"` is always among them; `"score"` is a
        network at all noise levels (see `cellflow.fields.NoiseConditional`); any other name is
        free. A velocity alone by default.
    training
        Settings of the training loop.
    ladder
        Noise levels of the score, in model coordinates; None takes them from the cells
        (`Ladder.fitted`).
    scale
        Scaling of the model coordinates, see `Frame.fitted`.
    field, objectives, score
        Old spellings of the heads, valid for one version: network of the velocity, objectives by
        name, network of the score.

    Raises
    ------
    InputError
        Heads without a velocity, or something that is no head.

    Examples
    --------
    >>> recipe = cf.recipes.Recipe("mine", cf.couplings.Exact(), cf.paths.Linear())
    """

    name: str
    coupling: Coupling
    path: Path
    heads: Mapping[str, Head]
    training: Training
    ladder: Ladder | None
    scale: Scale

    def __init__(
        self,
        name: str,
        coupling: Coupling,
        path: Path,
        heads: Mapping[str, Head] | Builder | None = None,
        *,
        training: Training = _TRAINING,
        ladder: Ladder | None = None,
        scale: Scale = "joint",
        field: Builder = _ABSENT,
        objectives: Mapping[str, Objective] = _ABSENT,
        score: Builder | None = _ABSENT,
    ) -> None:
        if heads is not None and not isinstance(heads, Mapping):
            field, heads = (heads, None) if callable(heads) else (field, heads)
        made = {"velocity": Head(MLP, velocity_matching)} if heads is None else heads
        old: dict[str, Any] = {"field": field, "objectives": objectives, "score": score}
        given = {key: value for key, value in old.items() if value is not _ABSENT}
        if given:
            warn(
                f"Recipe({', '.join(f'{key}=...' for key in given)}) is now Recipe(heads={{name:"
                " Head(network, objective)}). The old spelling is valid until the next version.",
                FutureWarning,
            )
            made = _respelled(made, **given)
        _require_heads(made)
        values = {
            "name": name,
            "coupling": coupling,
            "path": as_path(path),
            "heads": {key: made[key] for key in head_order(made)},
            "training": training,
            "ladder": ladder,
            "scale": scale,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def networks(self) -> dict[str, Builder]:
        """Builders of the networks by head."""
        return {n: head.network for n, head in self.heads.items() if head.network is not None}

    @property
    def objectives(self) -> dict[str, Objective]:
        """Losses by head; their sum is minimised."""
        return {name: head.objective for name, head in self.heads.items()}

    @property
    def along(self) -> dict[str, str]:
        """By head, the quantity whose rate it is."""
        return {n: head.along for n, head in self.heads.items() if head.along is not None}

    @property
    def field(self) -> Builder | None:
        """Network of the velocity; now `heads["velocity"].network`."""
        return self._old("field", "velocity")

    @property
    def score(self) -> Builder | None:
        """Network of the score; now `heads["score"].network`."""
        return self._old("score", "score")

    def _old(self, name: str, head: str) -> Builder | None:
        warn(
            f"recipe.{name} is now recipe.networks.get({head!r}); the old name goes away.",
            FutureWarning,
        )
        return self.networks.get(head)

    def with_head(self, name: str, head: Head) -> Recipe:
        """Return the same method with one more head, or with another one of this name."""
        return replace(self, heads={**self.heads, name: head})

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
        scored = self.with_head("score", Head(score, objective))
        return replace(scored, ladder=ladder, training=longer)

    def with_growth(self, coupling: Coupling | None = None, *, growth: Builder = _RATE) -> Recipe:
        """Return the same method, which learns how cells grow beside the velocity.

        Parameters
        ----------
        coupling
            Replaces that of the method, or what `couplings.Lineage` wraps in it. With a balanced
            plan, growth is equal for all cells, except where `Population.growth` says otherwise.
        growth
            Network of the rate, with one output.
        """
        grown = self.with_head("growth", Head(growth, growth_matching, along="log_weight"))
        if coupling is not None and isinstance(self.coupling, Lineage):
            coupling = replace(self.coupling, coupling=coupling)
        return grown if coupling is None else replace(grown, coupling=coupling)

    def with_lineage(self, strength: float = 1.0) -> Recipe:
        """Return the same method with a coupling informed by barcodes (`couplings.Lineage`).

        Parameters
        ----------
        strength
            Largest cost of a pair inside a clone, in units of the mean cost of independent pairs;
            the smaller, the less barcodes are trusted.

        Raises
        ------
        InputError
            A recipe that generates and couples nothing, or a strength that is not positive.

        Examples
        --------
        >>> from cellflow.recipes import ot_cfm
        >>> ot_cfm().with_lineage().coupling
        Lineage(coupling=Auto(tol=0.001), strength=1.0, n_neighbors='auto')
        """
        if self.generates:
            msg = (
                f"The recipe {self.name!r} generates cells from noise and couples nothing, so"
                " barcodes cannot inform it. Expected a method that moves cells, such as"
                " 'curved-cfm'."
            )
            raise InputError(msg)
        if isinstance(self.coupling, Lineage):
            return replace(self, coupling=replace(self.coupling, strength=strength))
        return replace(self, coupling=Lineage(self.coupling, strength=strength))

    def resolved(self, clock: Clock) -> Recipe:
        """Replace every `sigma="auto"` by the number that it stands for in this experiment."""
        coupling = with_sigma(self.coupling, clock.sigma)
        return replace(self, coupling=coupling, path=self.path.resolved(clock))

    @property
    def grows(self) -> bool:
        """Whether cells have a mass that changes along their paths."""
        return "log_weight" in self.along.values()

    @property
    def generates(self) -> bool:
        """Whether cells are made from noise, in an artificial time, and none is moved."""
        return self.path.generates

    @property
    def sigma(self) -> float:
        """Diffusion of the path, per square root of time; zero for a deterministic one."""
        return float(self.path.sigma)


def _respelled(
    heads: Mapping[str, Head],
    *,
    field: Builder = _ABSENT,
    objectives: Mapping[str, Objective] = _ABSENT,
    score: Builder | None = _ABSENT,
) -> dict[str, Head]:
    """Heads from the arguments that described them in 0.1."""
    made = dict(heads)
    if field is not _ABSENT:
        made["velocity"] = replace(made["velocity"], network=field)
    if score is None:
        made.pop("score", None)
    elif score is not _ABSENT:
        made["score"] = replace(
            made.get("score", Head(score, denoising_score_matching)), network=score
        )
    if objectives is not _ABSENT:
        for name, objective in objectives.items():
            made[name] = replace(made.get(name, Head(None, objective)), objective=objective)
    return made


def _require_heads(heads: Mapping[str, Head]) -> None:
    for name, head in heads.items():
        if not isinstance(name, str) or not isinstance(head, Head):
            kind = type(head).__name__
            msg = f"heads[{name!r}] is of type {kind}; expected a cellflow.recipes.Head."
            raise InputTypeError(msg)
    if "velocity" not in heads or heads["velocity"].network is None:
        msg = f"heads has {sorted(heads)}; expected a network 'velocity' among them."
        raise InputError(msg)
