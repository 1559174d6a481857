r"""Entropic transport with relaxed marginals: the problem, and how far a plan is from its optimum.

.. math:: \min_\pi \sum_{ij} \pi_{ij} |x_i - y_j|^2
          + \varepsilon\, \mathrm{KL}(\pi \,\|\, a \otimes b)
          + \tau_s\, \mathrm{KL}(\pi 1 \,\|\, a) + \tau_t\, \mathrm{KL}(\pi^T 1 \,\|\, b)

The optimum is :math:`\pi_{ij} = a_i b_j \exp((f_i + g_j - |x_i - y_j|^2) / \varepsilon)` with row
sums :math:`r_i = a_i e^{-f_i / \tau_s}` and column sums :math:`c_j = b_j e^{-g_j / \tau_t}`. For
the plan of any potentials, objective and dual value differ by exactly

.. math:: \tau_s\, \mathrm{KL}(r \,\|\, a e^{-f / \tau_s})
          + \tau_t\, \mathrm{KL}(c \,\|\, b e^{-g / \tau_t}),

which bounds the distance to the optimum. An infinite :math:`\tau` keeps that marginal.

References
----------
Chizat, L. et al. (2018). Scaling algorithms for unbalanced optimal transport problems. Math. Comp.
87.
Liero, M., Mielke, A. & Savare, G. (2018). Optimal entropy-transport problems and a new
Hellinger-Kantorovich distance between positive measures. Inventiones mathematicae 211.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import NamedTuple

import numpy as np

from cellflow.core._typing import FloatArray

__all__ = ["Relaxed", "Sums", "relative_gap", "translation"]


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What to solve."""

    x: FloatArray  # positions, `(n, d)`, centred
    y: FloatArray  # `(m, d)`
    a: FloatArray  # weights, `(n,)`, positive, of sum one
    b: FloatArray  # `(m,)`
    epsilon: float  # regularisation, in units of the cost
    tau_source: float  # relaxation of the row sums, in units of the cost
    tau_target: float  # of the column sums

    @property
    def reversed(self) -> Relaxed:
        """The same problem with source and target exchanged."""
        return Relaxed(
            self.y, self.x, self.b, self.a, self.epsilon, self.tau_target, self.tau_source
        )

    @property
    def damping(self) -> tuple[float, float]:
        r"""Factors :math:`\tau / (\tau + \varepsilon)` of the two updates; 1 for infinity."""
        return 1.0 / (1.0 + self.epsilon / self.tau_source), 1.0 / (
            1.0 + self.epsilon / self.tau_target
        )


class Sums(NamedTuple):
    """Row sums `(n,)` and column sums `(m,)` of a plan."""

    rows: FloatArray
    columns: FloatArray


def translation(problem: Relaxed, f: FloatArray, g: FloatArray) -> float:
    r"""The number `k` for which the dual value of `f + k`, `g - k` is largest; the plan is one.

    .. math:: k = \frac{\log\langle a, e^{-f/\tau_s}\rangle - \log\langle b, e^{-g/\tau_t}\rangle}
              {1 / \tau_s + 1 / \tau_t}
    """
    both = 1.0 / problem.tau_source + 1.0 / problem.tau_target
    if both == 0.0:
        return 0.0
    with_f = _log_sum(problem.a, -f / problem.tau_source)
    with_g = _log_sum(problem.b, -g / problem.tau_target)
    return (with_f - with_g) / both


def _log_sum(weight: FloatArray, exponent: FloatArray) -> float:
    """Logarithm of the weighted sum of exponentials."""
    top = exponent.max()
    return float(top + np.log(weight @ np.exp(exponent - top)))


def relative_gap(problem: Relaxed, f: FloatArray, g: FloatArray, sums: Sums) -> float:
    """(objective - dual value) / objective; a kept marginal is taken to be right."""
    if isinf(problem.tau_source) and isinf(problem.tau_target):
        return inf
    objective = -problem.epsilon * (sums.rows.sum() - 1.0)
    excess = 0.0
    k = translation(problem, f, g)
    sides = (
        (problem.tau_source, f, k, sums.rows, problem.a),
        (problem.tau_target, g, -k, sums.columns, problem.b),
    )
    for tau, potential, shift, mass, weight in sides:
        objective += mass @ potential
        if not isinf(tau):
            objective += tau * _divergence(mass, weight)
            with np.errstate(over="ignore"):  # the first potentials may be far off
                expected = weight * np.exp(-(potential + shift) / tau)
            excess += tau * _divergence(mass, expected)
    return float(excess / objective) if objective > 0.0 else 0.0


def _divergence(mass: FloatArray, reference: FloatArray) -> float:
    """Kullback-Leibler divergence of masses, which need not sum to one."""
    if not np.isfinite(reference).all() or ((mass > 0) & (reference == 0)).any():
        return inf
    some = mass > 0
    ratio = mass[some] / reference[some]
    terms = reference[some] * (ratio * np.log(ratio) - (ratio - 1.0))
    return float(terms.sum() + reference[~some].sum())
