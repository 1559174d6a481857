"""The fitted module: named networks, the velocity always among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.errors import InputError
from cellflow.fields import Builder, NoiseConditional
from cellflow.fields.held import Held, HeldByRow, Numbered
from cellflow.fields.ladder import Ladder, Moments
from cellflow.fields.stacked import Mean, stacked

__all__ = ["Dynamics", "averaged", "head_order", "joined"]


def head_order(names: Iterable[str]) -> list[str]:
    """Names of heads in the order in which networks are made and losses are summed."""
    first = {"velocity": 0, "score": 1}
    return sorted(names, key=lambda name: (first.get(name, 2), name))


class Dynamics(nn.Module):
    r"""A dynamics in model coordinates: a probability flow, and diffusions of equal marginals.

    The flow is :math:`\dot x = v(t, x)`. With a score :math:`s = \nabla \log p_t`, for any
    :math:`\sigma`,

    .. math::  dX = \big(v + \tfrac{\sigma^2}{2} s\big)\, dt + \sigma\, dW

    has the marginals of the probability flow, and so has, from the last time to the first, the
    diffusion with
    :math:`v - \tfrac{\sigma^2}{2} s`.

    Parameters
    ----------
    velocity
        The velocity field, `(t, x) -> (n, d)`; `(t, x, context)` for a conditional one.
    score
        The score at all noise levels, `(t, x, noise) -> (n, d)` (see
        `cellflow.fields.NoiseConditional`), or None.
    heads
        Other networks by name, called like `velocity`. Each is an attribute of its name.
    along
        By the name of a head, the quantity whose rate it is: `{"growth": "log_weight"}`. Such a
        head returns `(n,)` or `(n, 1)`.
    unit
        Natural unit of time (the clock's); losses are measured in it, so that they do not depend on
        hours or days.
    sigma
        Diffusion of the bridge that the velocity was learned from, per square root of time; zero
        for a deterministic one.

    Raises
    ------
    InputError
        A head whose name is an attribute of every module.

    References
    ----------
    Anderson, Reverse-time diffusion equation models, 1982; Tong et al., Simulation-free Schrödinger
    bridges via score and flow matching, AISTATS 2024, section 3.
    """

    def __init__(
        self,
        velocity: nn.Module,
        score: nn.Module | None = None,
        *,
        heads: Mapping[str, nn.Module] | None = None,
        along: Mapping[str, str] | None = None,
        unit: float = 1.0,
        sigma: float = 0.0,
    ) -> None:
        super().__init__()
        self.velocity = velocity
        self.score = score
        self.along = dict(along or {})
        self.unit = unit
        self.sigma = sigma
        for name, head in (heads or {}).items():
            if not name.isidentifier() or hasattr(self, name):
                msg = f"A head has the name {name!r}, which torch modules use. Choose another."
                raise InputError(msg)
            self.add_module(name, head)

    @classmethod
    def built(
        cls,
        dim: int,
        clock: Clock,
        networks: Mapping[str, Builder],
        *,
        ladder: Ladder | None = None,
        moments: Moments | None = None,
        along: Mapping[str, str] | None = None,
        n_context: int = 0,
        sigma: float = 0.0,
    ) -> Dynamics:
        """Make the networks in `dim` dimensions; a score needs a ladder and the cells' moments."""
        options = {"n_context": n_context} if n_context else {}
        made: dict[str, nn.Module] = {}
        for name in head_order(networks):
            if name != "score":
                made[name] = networks[name](dim, clock, **options)
            elif ladder is not None and moments is not None:
                made[name] = NoiseConditional(
                    dim,
                    clock,
                    ladder=ladder,
                    moments=moments,
                    field=networks[name],
                    n_context=n_context,
                )
        velocity = made.pop("velocity")
        score = made.pop("score", None)
        return cls(velocity, score, heads=made, along=along, unit=clock.unit, sigma=sigma)

    def with_networks(self, networks: Mapping[str, nn.Module]) -> Dynamics:
        """Return a dynamics of other networks for the same heads."""
        rest = dict(networks)
        velocity = rest.pop("velocity")
        score = rest.pop("score", None)
        about = {"along": self.along, "unit": self.unit, "sigma": self.sigma}
        made = Dynamics(velocity, score, heads=rest, **about)  # type: ignore[arg-type]
        return made.train(self.training)

    def held(self, functions: Tensor, response: Tensor) -> Dynamics:
        """The same without what would change some functions of the state; see `Held`.

        Rates stay as they are: they are evaluated at the states that are reached.
        """
        vectors = {"velocity", "score"} & set(self.heads)
        known = {name: Held(self.heads[name], functions, response) for name in vectors}
        return self.with_networks(self.heads | known)

    def held_by_row(self, functions: Tensor, response: Tensor) -> Dynamics:
        """As `held`, with the functions of each row by its number; the score is left out."""
        rates = {name: Numbered(head) for name, head in self.heads.items() if name != "score"}
        velocity = HeldByRow(self.velocity, functions, response)
        return self.with_networks(rates | {"velocity": velocity})

    @property
    def noise(self) -> Callable[[Tensor], Tensor] | None:
        """What is left of the noise of a diffusion, `(n, d) -> (n, d)`; None for all of it."""
        return self.velocity.rest if isinstance(self.velocity, Held) else None

    @property
    def heads(self) -> dict[str, nn.Module]:
        """All networks by name."""
        return dict(self.named_children())

    @property
    def rates(self) -> dict[str, Callable[..., Tensor]]:
        """By quantity, its rate `(t, x[, context]) -> (n,)`, integrated beside the state."""
        return {quantity: partial(self.rate, name) for name, quantity in self.along.items()}

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Velocity at times `t` (scalar or `(n,)`), states `x (n, d)`, `context (n, c)`."""
        value: Tensor = self.velocity(t, x) if context is None else self.velocity(t, x, context)
        return value

    def head(self, name: str, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Output of a head, shape `(n, ...)`; the score is that without noise."""
        network = self.get_submodule(name)
        if name == "score":
            value: Tensor = network(t, x, 0.0, context)
        else:
            value = network(t, x) if context is None else network(t, x, context)
        return value

    def rate(self, name: str, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Output of a head that is a rate, shape `(n,)`.

        Raises
        ------
        InputError
            An output that is not one number per row.
        """
        value = self.head(name, t, x, context)
        if value.shape not in ((len(x),), (len(x), 1)):
            msg = (
                f"The head {name!r} returned shape {tuple(value.shape)} for {len(x)} states;"
                f" expected ({len(x)},) or ({len(x)}, 1), the rate of {self.along.get(name)!r}. Use"
                " functools.partial(MLP, out_dim=1)."
            )
            raise InputError(msg)
        return value.reshape(len(x))

    def drift(
        self,
        t: Tensor,
        x: Tensor,
        context: Tensor | None = None,
        *,
        sigma: float,
        direction: int = 1,
    ) -> Tensor:
        """Drift of the diffusion of width `sigma`, forward (`direction=1`) or backward (-1)."""
        velocity: Tensor = self(t, x, context)
        if sigma == 0.0:
            return velocity
        if self.score is None:
            msg = "The dynamics has no score; fit with score=True."
            raise TypeError(msg)
        score: Tensor = self.score(t, x, 0.0, context)
        return velocity + direction * 0.5 * sigma**2 * score


def joined(members: Sequence[Dynamics]) -> Dynamics:
    """One dynamics for the rows of several: row `r` belongs to member `r % k`; see `stacked`."""
    if len(members) == 1:
        return members[0]
    names = members[0].heads
    return members[0].with_networks(
        {name: stacked([member.heads[name] for member in members]) for name in names}
    )


def averaged(dynamics: Dynamics, k: int) -> Dynamics:
    """The mean of the `k` dynamics that `joined` joined, at every row."""
    if k == 1:
        return dynamics
    return dynamics.with_networks({name: Mean(head, k) for name, head in dynamics.heads.items()})
