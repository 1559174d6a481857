"""How much of the velocity is no gradient."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, closest
from cellflow.tl._regulation import require_few_dims

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["curl"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "curl"
_KINDS = ("share", "signed")


@guarded
def curl(
    adata: AnnData,
    *,
    kind: Literal["share", "signed"] = "share",
    extrapolate: bool = False,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Write how much of the velocity at every cell is rotation, which no landscape has.

    The Jacobian :math:`J` of the velocity has a symmetric part :math:`S = (J + J^\top)/2` and an
    antisymmetric part :math:`A = (J - J^\top)/2`. A field that is the gradient of a potential has
    :math:`A = 0` everywhere, a rotation :math:`S = 0`. The share is

    .. math::  \frac{\|A\|_F^2}{\|S\|_F^2 + \|A\|_F^2} \in [0, 1]

    at the cell's own time, in the units of the representation.

    Little rotation in a fit is no evidence that there is none in the cells. Optimal transport pairs
    snapshots without rotation, and velocities at one time that come from it are close to a gradient
    by construction; cells that circulate within a population at rest do not show in snapshots. Of
    simulated cells that turn by 45 degrees between snapshots (`cf.datasets.simulate("rotation")`),
    the default method finds a share of .46 instead of 1, and .4 of the angular velocity.

    Parameters
    ----------
    adata
        Cells with a fit.
    kind
        `"share"`; or, of two dimensions only, `"signed"`: the curl
        :math:`\partial v_2/\partial x_1 - \partial v_1/\partial x_2`, twice the angular velocity,
        positive against the clock.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_curl"]`: float64, shape (n_obs,). The share, zero where the velocity is the same
      around the cell; or the signed curl, per unit of time.
    - `uns["cellflow"]["curl"]`: dict. `share`: that of the sums of both parts over all cells;
      `kind`, and `words`.

    Raises
    ------
    InputError
        No fit, one that generates, a field that cannot be differentiated, more than 400 dimensions,
        other than two for a signed curl, or cells more than one mean interval outside the times of
        the fit without `extrapolate`; `adata` is unchanged.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.

    See Also
    --------
    cellflow.tl.potential, cellflow.tl.divergence

    Notes
    -----
    Of an ensemble, of the mean field. Noise of a fit has as much antisymmetric as symmetric part,
    almost; where the field hardly changes from cell to cell, the share tends to :math:`(d - 1) /
    (2 d)` of noise alone.

    References
    ----------
    Wang et al., Potential landscape and flux framework of nonequilibrium networks, PNAS 2008 (what
    a landscape leaves out); Brenier, Polar factorization and monotone rearrangement of
    vector-valued functions, 1991 (optimal transport is a gradient); Weinreb et al., Fundamental
    limits on dynamic inference from single-cell snapshots, PNAS 2018 (rotation is not seen).

    Examples
    --------
    >>> cf.tl.curl(adata)
    >>> share = adata.uns["cellflow"]["curl"]["share"]
    """
    check_arguments(curl, locals())
    from cellflow.analysis.rotation import rotation

    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    _require_kind(kind, fitted.x.shape[1])
    names = fitted.keys
    places = [("obs", names.own("curl"))]
    require_free(adata, names, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)
    found = rotation(fitted.flow, fitted.x, fitted.times, fitted.cells.context)
    share = found.total_share
    words = (
        f"{share:.1%} of the squared Jacobian of the velocity, summed over the cells, is"
        " antisymmetric: rotation, which no potential has."
    )
    logger.info(words)
    fitted.observed.warn(fitted.times)
    record = amended(adata, names, places, {_ENTRY: {"share": share, "kind": kind, "words": words}})
    values = found.share if kind == "share" else found.signed
    write(target, {"obs": {names.own("curl"): values}, "uns": {names.uns: record}})
    return target if copy else None


def _require_kind(kind: object, n_dims: int) -> None:
    if not isinstance(kind, str) or kind not in _KINDS:
        msg = f"kind={shown(kind)}; expected one of {list(_KINDS)}{closest(kind, _KINDS)}."
        raise InputError(msg)
    if kind == "signed" and n_dims != 2:
        msg = (
            f"kind='signed' of a fit in {n_dims} dimensions: only in two has a rotation one sign."
            " Expected kind='share'."
        )
        raise InputError(msg)
    require_few_dims(n_dims)
