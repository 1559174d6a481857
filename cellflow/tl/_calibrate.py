"""Calibrate the fates of cells by clones, or by the composition of the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import numpy as np

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import require_free, written
from cellflow.adapter.read import require_anndata
from cellflow.adapter.store import amended
from cellflow.adapter.write import Staged, target_of, write
from cellflow.analysis.calibration import BOUNDS
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number, shown
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning
from cellflow.tl._by_clones import by_lineage
from cellflow.tl._by_composition import by_composition
from cellflow.tl._calibration import Asked, Found, Source

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["calibrate"]

logger = logging.getLogger("cellflow")


@guarded
def calibrate(
    adata: AnnData,
    *,
    by: Literal["clones", "composition"] = "clones",
    lineage_key: str | None = None,
    offsets: bool | None = None,
    alpha: float = 0.1,
    level: float = 0.9,
    n_folds: int = 10,
    n_bins: int = 10,
    n_boot: int = 1000,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Compare the fates that `cf.tl.fates` wrote with what cells became, and calibrate them.

    Probabilities are calibrated if, of the cells with a predicted probability of .8, eight of ten
    have that fate. Snapshots alone cannot show it, because no cell is measured twice. Clones can:
    the outcome of an early cell is the shares of the labels of the later cells of its clone (those
    of the end, and of absorbing groups). Calibrated probabilities are :math:`q_k \propto p_k^{1/T}
    e^{b_k}`: the temperature :math:`T`, and offsets :math:`b` if they help, maximise the log score
    of the outcomes. Probabilities are shares of votes; one more vote, which all fates share, keeps
    them from 0 and 1 before.

    Cells of one clone are not independent; clones are taken to be. So clones are the unit of all
    intervals, and errors after calibration are of clones that took no part in it; their intervals
    leave out that another calibration would come from other clones. Outcomes are of
    relatives, not of the cell itself: where a clone's cells have parted before the early cell was
    measured, calibrated probabilities are of its clone. Clones without a later cell are not seen.

    Undecided mass has no outcome. It stays as it is: probabilities are compared and calibrated
    given that there is a fate, and a cell counts as its decided mass. Late cells without a label do
    not count.

    With `by="composition"` no clones are needed: the shares of the fates that each earlier snapshot
    predicts, by the mass of its descendants, are compared with those measured at the end, and
    offsets make them agree. That corrects averages only. A temperature cannot be found like this,
    and no error of single cells: fates drawn by lot have right averages too.

    Parameters
    ----------
    adata
        Cells with fates.
    by
        What fates are compared with: `"clones"`, or the `"composition"` of the end.
    lineage_key
        Column of `obs` with one barcode per cell, or key of `obsm` with cells by clones, 0 or 1.
        Clones that the coupling of the fit has used (`lineage_key` of `cf.tl.flow`) cannot judge
        its fates: fit with a column in which the barcodes of some clones are NaN, and pass a column
        that has only theirs. None: that of the fit, if its coupling has not used it.
    offsets
        Whether there are offsets beside the temperature. None: if they raise the log score of
        clones that are kept out, by more than a standard error.
    alpha
        Probability with which the sets of fates may miss the fate of a cell of a new clone.
    level
        Of intervals.
    n_folds
        Parts of the clones, each calibrated by the others, for errors after calibration.
    n_bins
        Bins of predicted probabilities, of equal width.
    n_boot
        Draws of clones, for intervals of errors.
    random_state
        Seed of the parts and draws.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["cf_fates_calibrated"]`: float64, shape (n_obs, n_fates). Calibrated probabilities, with
      the columns of `lineages_fwd`, which stays as it is; rows sum to one. Cells of the end and of
      absorbing groups keep their own.
    - `obsm["cf_fate_sets"]`: bool, shape (n_obs, n_labels). By clones only: which fates, undecided
      left out, are in the set of the cell: those with a calibrated probability of at least
      `threshold`. The set has the fate of a cell of a new clone with probability :math:`1 -
      \alpha`, on average over clones, whatever the probabilities are worth (split-conformal, with
      clones as units; cross-conformal for the calibration). Cells later than the end have none.
    - `uns["cellflow"]["calibration"]`: dict. `by`, `names` of the fates, `method`, `offsets`,
      `table` and `errors` (see `cf.get.calibration`), `words`; by clones, `lineage_key`,
      `temperature` with `temperature_low` and `temperature_high` (NaN at the limits .05 and 20),
      `offsets_sd`, `alpha`, `threshold`, `set_size`, log scores, `unit` and numbers of cells and
      clones.

    With another `key`, the first two begin with it. `cf.tl.fates` and `cf.tl.flow` remove them.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such `lineage_key`.
    InputError
        No clones; clones that the coupling has used; fewer than two that have early cells and later
        ones with a label; one fate only. By composition: no earlier cells, absorbing groups or
        several conditions, for which the composition of the end is not that of the fates; arguments
        that are for clones. `adata` is unchanged.

    Warns
    -----
    InputWarning
        A temperature at its upper limit: the fates do not tell clones apart.

    See Also
    --------
    cellflow.get.calibration, cellflow.tl.fates

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017 (temperature); Saerens et al.,
    Adjusting the outputs of a classifier to new a priori probabilities, Neural Computation 2002
    (offsets); Lee, Barber and Willett, Distribution-free inference with hierarchical data, arXiv
    2306.06342, 2023 (sets); Weinreb et al., Lineage tracing on transcriptional landscapes links
    state to fate during differentiation, Science 2020 (clones as outcomes).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.calibrate(adata, lineage_key="clone")
    >>> cf.get.calibration(adata).columns.tolist()
    ['stage', 'fate', 'bin', 'n_cells', 'n_clones', 'predicted', 'observed', 'low', 'high']
    """
    check_arguments(calibrate, locals())
    require_anndata(adata)
    asked = _asked(lineage_key, offsets, alpha, level, n_folds, n_bins, n_boot, random_state)
    keys = Keys(key)
    source = Source.read(adata, keys)
    clonal = _is_clonal(by, asked)
    places = [("obsm", keys.fates_calibrated)] + [("obsm", keys.fate_sets)] * clonal
    require_free(adata, keys, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)
    found = by_lineage(adata, source, asked) if clonal else by_composition(adata, source, asked)
    _warn(found)
    logger.info(found.entry["words"])
    staged: Staged = {"obsm": {keys.fates_calibrated: source.calibrated(found.scaling)}}
    if found.sets is not None:
        staged["obsm"][keys.fate_sets] = found.sets
    about = {
        "by": by,
        "names": np.array(source.names, dtype=object),
        "level": asked.level,
        "random_state": asked.seed,
    }
    stale = ({("obsm", keys.fate_sets)} & written(adata, keys)) - set(places)
    record = amended(
        adata, keys, places, {"calibration": about | dict(found.entry)}, outdated=stale
    )
    staged["uns"] = {keys.uns: record}
    write(target, staged, remove=stale)
    return target if copy else None


def _asked(
    lineage_key: str | None,
    offsets: bool | None,  # noqa: FBT001 (as the public argument)
    alpha: float,
    level: float,
    n_folds: int,
    n_bins: int,
    n_boot: int,
    random_state: RandomState,
) -> Asked:
    """Check the arguments."""
    return Asked(
        lineage_key,
        offsets,
        as_number("alpha", alpha, above=0.0, below=1.0, remedy=", such as 0.1"),
        as_number("level", level, above=0.0, below=1.0, remedy=", such as 0.9"),
        as_count("n_folds", n_folds, least=2),
        as_count("n_bins", n_bins),
        as_count("n_boot", n_boot),
        as_seed(random_state),
    )


def _is_clonal(by: str, asked: Asked) -> bool:
    if by not in {"clones", "composition"}:
        msg = f"by={shown(by)}; expected 'clones' or 'composition'."
        raise InputError(msg)
    given = [name for name in ("lineage_key", "offsets") if getattr(asked, name) is not None]
    if by == "composition" and given:
        msg = (
            f"by='composition' with {given[0]}={shown(getattr(asked, given[0]))}, which is for"
            f" clones. Omit {given[0]}=, or pass by='clones'."
        )
        raise InputError(msg)
    return by == "clones"


def _warn(found: Found) -> None:
    if found.scaling.temperature >= BOUNDS[1]:
        msg = (
            f"The temperature is at its limit, {BOUNDS[1]:g}: the fates do not tell clones apart,"
            " and calibrated probabilities are about equal."
        )
        warn(msg, InputWarning)
