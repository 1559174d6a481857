"""Several networks of one architecture as one: row `r` of the input belongs to network `r % k`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cellflow.fields.ladder import Ladder

__all__ = ["Mean", "StackedLinear", "member_of", "stacked"]

#: Modules that are known to treat every row by itself, and to use a linear map as a module.
_KNOWN = ("cellflow.", "torch.nn.modules.")


class StackedLinear(nn.Module):
    """The linear maps of `k` networks, in one product of matrices.

    Parameters
    ----------
    weight
        Shape `(k, n_out, n_in)`.
    bias
        Shape `(k, n_out)`, or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows `(n, n_in)`; `n` is a multiple of `k`."""
        k = len(self.weight)
        rows = x.view(-1, k, x.shape[1]).transpose(0, 1)
        mapped = (
            torch.bmm(rows, self.weight.mT)
            if self.bias is None
            else torch.baddbmm(self.bias[:, None], rows, self.weight.mT)
        )
        return mapped.transpose(0, 1).reshape(len(x), -1)


class Separate(nn.Module):
    """Networks side by side, for those of unknown parts."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(map(copy.deepcopy, members))

    @property
    def ladder(self) -> Ladder:
        """Noise levels of scores, which all members share."""
        return self.members[0].ladder  # type: ignore[return-value] # of a NoiseConditional

    def forward(self, t: Tensor, x: Tensor, *beside: Tensor | float) -> Tensor:
        """Evaluate each network on its rows."""
        k = len(self.members)
        parts = [
            member(*(_rows(value, m, k) for value in (t, x, *beside)))
            for m, member in enumerate(self.members)
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)


def _rows(value: Tensor | float | None, m: int, k: int) -> Tensor | float | None:
    return value[m::k] if isinstance(value, Tensor) and value.ndim else value


def stacked(members: Sequence[nn.Module]) -> nn.Module:
    """One network of several that differ in their weights only.

    The networks of `cellflow.fields` become one, whose linear maps are products of stacked
    matrices: a step costs little more than that of one network on all rows. Others are evaluated
    one after the other.
    """
    if len(members) == 1:
        return members[0]
    if not all(map(_is_known, members)):
        return Separate(members)
    return _joined(members)


def member_of(network: nn.Module, m: int) -> nn.Module:
    """Return network `m` of those that `stacked` joined, with weights of its own."""
    if isinstance(network, Mean):
        return member_of(network.stacked, m)
    if isinstance(network, Separate):
        return copy.deepcopy(network.members[m])
    if isinstance(network, StackedLinear):
        return _linear(network, m)
    return _rebuilt(network, {k: member_of(part, m) for k, part in network.named_children()})


class Mean(nn.Module):
    """The mean of networks that `stacked` joined, at every row.

    Parameters
    ----------
    network
        Takes rows `(t, x, ...)`; row `r` belongs to member `r % k`.
    k
        Number of members.
    """

    def __init__(self, network: nn.Module, k: int) -> None:
        super().__init__()
        self.stacked = network
        self.k = k

    @property
    def ladder(self) -> Ladder:
        """Noise levels of a score, which all members share."""
        return self.stacked.ladder  # type: ignore[return-value] # of a NoiseConditional

    def starting_points(self, t: Tensor, z: Tensor) -> Tensor:
        """Starts of sampling, which are the same for all members; see `NoiseConditional`."""
        first = member_of(self.stacked, 0)
        points: Tensor = first.starting_points(t, z)  # type: ignore[operator]
        return points

    def forward(self, t: Tensor, x: Tensor, *beside: Tensor | float | None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)`, and what else it takes."""
        rows = [self._repeated(value, len(x)) for value in (t, x, *beside)]
        out: Tensor = self.stacked(*rows)
        return out.view(len(x), self.k, *out.shape[1:]).mean(dim=1)

    def _repeated(self, value: Tensor | float | None, n: int) -> Tensor | float | None:
        """A value of every row `k` times; one for all rows as it is."""
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != n:
            return value
        return value.repeat_interleave(self.k, dim=0)


def _is_known(network: nn.Module) -> bool:
    """Whether every part treats rows by themselves, and has its weights in linear maps."""
    return all(
        type(part).__module__.startswith(_KNOWN)
        and (type(part) is nn.Linear or next(part.parameters(recurse=False), None) is None)
        for part in network.modules()
    )


def _joined(members: Sequence[nn.Module]) -> nn.Module:
    first = members[0]
    if isinstance(first, nn.Linear):
        weights = torch.stack([_tensor(m, "weight") for m in members])
        has_bias = first.bias is not None
        return StackedLinear(
            weights, torch.stack([_tensor(m, "bias") for m in members]) if has_bias else None
        )
    children = {
        name: _joined([m.get_submodule(name) for m in members])
        for name, _ in first.named_children()
    }
    return _rebuilt(first, children)


def _tensor(module: nn.Module, name: str) -> Tensor:
    tensor: Tensor = getattr(module, name)
    return tensor.detach()


def _linear(maps: StackedLinear, m: int) -> nn.Linear:
    """One of the stacked linear maps."""
    with torch.device("meta"):
        _, n_out, n_in = maps.weight.shape
        made = nn.Linear(n_in, n_out, bias=maps.bias is not None)
    made.weight = nn.Parameter(maps.weight[m].detach().clone())
    if maps.bias is not None:
        made.bias = nn.Parameter(maps.bias[m].detach().clone())
    return made


def _rebuilt(module: nn.Module, children: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of a module without weights of its own, with other children."""
    made = copy.copy(module)
    buffers = {name: b.clone() for name, b in module.named_buffers(recurse=False)}
    vars(made).update(_modules=dict(children), _buffers=buffers)
    return made
