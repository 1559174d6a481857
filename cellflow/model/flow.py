"""A fitted flow, or several, stored and read; `queries` computes what is asked of them."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch

from cellflow.core._devices import choose_device
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import ModelFileError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.stacked import member_of
from cellflow.model import state, storage
from cellflow.model.derivatives import Derivatives
from cellflow.model.networks import Networks
from cellflow.model.summary import summary
from cellflow.training import History

__all__ = ["Ensemble", "Flow"]


@dataclass(frozen=True, eq=False, repr=False)
class Flow(Derivatives):
    """A fitted dynamics: what `fit` returns and every query is made to.

    Positions and velocities that go in and come out are in data coordinates, times in the
    experiment's own units.

    Parameters
    ----------
    dynamics
        The learned networks, in model coordinates.
    history
        What training did, arrays by name.
    seed, seconds
        Of the run.
    version
        Version of cellflow that fitted it.
    frame, clock, times, recipe, plans, decoder, n_context, generates, threads
        See `cellflow.model.base.FittedDynamics`.

    Examples
    --------
    >>> flow = cf.get.flow(adata)
    >>> flow.heads, flow.n_dims
    (('velocity', 'score'), 5)
    """

    dynamics: Dynamics
    frame: Frame
    clock: Clock
    times: FloatArray
    recipe: Mapping[str, Any]
    plans: Mapping[str, Mapping[str, Any]]
    history: History
    seed: int
    threads: int
    seconds: float
    version: str = __version__
    decoder: Decoder | None = None
    n_context: int = 0
    generates: bool = False

    def __repr__(self) -> str:
        return summary(self).text()

    def _repr_html_(self) -> str:
        return summary(self).html()

    def with_decoder(self, decoder: Decoder | None) -> Flow:
        """Return the same flow with another decoder.

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> flow.with_decoder(None).decoder is None
        True
        """
        return replace(self, decoder=decoder)

    @guarded
    def to(self, device: torch.device | str) -> Flow:
        """Return the same flow on another device; `self` stays where it is.

        Examples
        --------
        >>> flow = cf.get.flow(adata).to("cpu")
        """
        return replace(self, dynamics=copy.deepcopy(self.dynamics).to(choose_device(device)))

    @guarded
    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Return configuration (JSON-able values) and arrays by name, for `from_state`.

        Examples
        --------
        >>> config, arrays = cf.get.flow(adata).state()
        >>> again = cf.Flow.from_state(config, arrays)
        """
        return state.state(self)

    @classmethod
    @guarded
    def from_state(
        cls,
        config: Mapping[str, Any],
        arrays: Mapping[str, FloatArray],
        *,
        fields: Networks | None = None,
    ) -> Flow:
        """Rebuild a flow from its `state`, of this version or an older one; or an `Ensemble`.

        A network of your own is found where its module is imported already; nothing is imported for
        it. Otherwise pass its class by name: `fields={"Mine": Mine}`.

        Raises
        ------
        ModelFileError
            A newer format, a network that is not known, arrays that do not fit, or a flow where
            an ensemble is asked for.

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> cf.Flow.from_state(*flow.state()).heads == flow.heads
        True
        """
        values = state.arguments(config, arrays, fields or {})
        kind = Ensemble if values.get("n_members", 1) > 1 else Flow
        if not issubclass(kind, cls):
            msg = "The model is a single flow, not an ensemble. Read it with Flow.load."
            raise ModelFileError(msg)
        return kind(**values)

    @guarded
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the flow into a folder as safetensors and JSON with checksums; never a pickle.

        At every instant the folder holds the older flow or the new one, whole. It is made where
        missing; an existing one must be empty or hold a flow.

        Raises
        ------
        ModelFileError
            When the path is a file, or a folder with other things in it.
        OutputError
            The folder cannot be made or written to, or the disk is full; an older flow is as it
            was.

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> flow.save("model")
        """
        storage.save(*self.state(), folder)

    @classmethod
    @guarded
    def load(cls, folder: str | os.PathLike[str], *, fields: Networks | None = None) -> Flow:
        """Read a flow that `save` wrote; `fields` as of `from_state`.

        Raises
        ------
        ModelFileError
            A missing or damaged file, a newer format, or a network that is not known.

        Examples
        --------
        >>> cf.get.flow(adata).save("model")
        >>> flow = cf.Flow.load("model")
        """
        return cls.from_state(*storage.load(folder), fields=fields)


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Flow):
    """Flows fitted on halves of the cells, which say how sure an answer is.

    Members are pairs of flows on complementary random halves of the cells of each snapshot and
    condition, or of its samples where at least two are known, each with plans and initial weights
    of its own; they are trained as one network. A query of the ensemble is answered with the mean
    of its members' fields. Each of `members` answers the same query by itself; what differs between
    them, differs because of the cells that happened to be measured and because of the training.
    `cellflow.core._spread` makes intervals of these differences.

    Parameters
    ----------
    dynamics
        The networks, each the mean of all members'.
    n_members
        Number of members, at least two.
    degrees
        Degrees of freedom of the differences between members: one for each pair of halves, and no
        more than there are samples less one at any time, where halves are of samples.
    plans
        Summaries of the plans of the first member.
    history
        Means over the members.
    frame, clock, times, recipe, seed, threads, seconds, version, decoder, n_context, generates
        See `Flow`.

    References
    ----------
    Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep
    ensembles, NeurIPS 2017; Shao and Tu, The Jackknife and Bootstrap, 1995 (half samples).

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", n_members=2)
    >>> flow = cf.get.flow(adata)
    >>> len(flow.members)
    2
    """

    n_members: int = 2
    degrees: float = 1.0

    @cached_property
    def members(self) -> tuple[Flow, ...]:
        """Each member as a flow."""
        shared: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(Flow)}
        made = []
        for m in range(self.n_members):
            heads = {name: member_of(head, m) for name, head in self.dynamics.heads.items()}
            made.append(Flow(**shared | {"dynamics": self.dynamics.with_networks(heads)}))
        return tuple(made)
