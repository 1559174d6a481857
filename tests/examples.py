"""One small example of every member of the families: what the laws of a family are tried on.

A new member of a family needs a line here. `test_examples.py` fails for a member without one, and
the laws of its family try it at once.
"""

from functools import partial

import numpy as np

from cellflow import couplings, densities, fields, metrics, paths, synthetic

#: What a family exports beside its members and its Protocols: values, wrappers, and functions.
OTHERS = {
    # It couples as its matrices say, whatever the populations are.
    "couplings": {"Given"},
    "paths": {"PathSample", "sample"},
    "fields": {"AtNoise", "Builder", "Conditioned", "NoiseConditional"},
    "densities": {
        "Builder",
        "Conditioned",
        "GaussianMixture",
        "KernelDensity",
        "MaximumLikelihood",
        "Method",
        "NormalizingFlow",
        "State",
        "fit_density",
        "from_state",
        "require_learnable",
    },
    "metrics": {
        "Calibration",
        "Composition",
        "Estimate",
        "MomentErrors",
        "NLL",
        "Novelty",
        "Transitions",
        "TwoSample",
        # These compare labels, plans or densities instead of clouds.
        "composition_error",
        "lineage_consistency",
        "nearest_transitions",
        "negative_log_likelihood",
        "plan_transitions",
        # The interval of another metric.
        "estimate",
    },
    "synthetic": {"Experiment", "System", "circuits", "truth"},
}

COUPLINGS = {
    "Auto": couplings.Auto(),
    "Entropic": couplings.Entropic(sigma=0.5),
    "Exact": couplings.Exact(),
    "Independent": couplings.Independent(),
    "Lineage": couplings.Lineage(),
    "Minibatch": couplings.Minibatch(batch_size=64, n_batches=50),
    "Sparse": couplings.Sparse(tol=1e-4),
    "Unbalanced": couplings.Unbalanced(),
}

#: Paths that are two formulas as they are.
PATHS = {
    "BrownianBridge": paths.BrownianBridge(sigma=0.7),
    "FromNoise": paths.FromNoise(smallest=0.05),
    "Linear": paths.Linear(smoothing=0.1),
    "Trigonometric": paths.Trigonometric(smoothing=0.2),
}
#: Paths that are prepared from the snapshots first.
CURVED = {
    "DensityCorrected": paths.DensityCorrected(paths.Linear(smoothing=0.1)),
    "LimitedHermite": paths.LimitedHermite(),
    "OverlapAttracted": paths.OverlapAttracted(paths.LimitedHermite()),
    "ResidualRotated": paths.ResidualRotated(paths.Linear(smoothing=0.1), least_dims=2),
    "TimeWarped": paths.TimeWarped(paths.LimitedHermite()),
}

#: `(n_dims, clock) -> network`.
FIELDS = {
    "MLP": partial(fields.MLP, width=16),
    "Potential": partial(fields.Potential, field=partial(fields.MLP, width=16)),
    "Residual": partial(fields.Residual, width=16),
}

#: `(n_dims, n_context) -> network`; the references without a network have names instead.
DENSITIES = {
    "Glow": partial(densities.Glow, transforms=4, hidden=(32, 32)),
    "MAF": partial(densities.MAF, transforms=4, hidden=(32, 32)),
    "NSF": partial(densities.NSF, transforms=2, hidden=(32, 32)),
    "RealNVP": partial(densities.RealNVP, transforms=6, hidden=(32, 32)),
}

#: `(x, y) -> number` on two clouds `(n, d)`, `(m, d)`.
METRICS = {
    "c2st": lambda x, y: metrics.c2st(x, y).accuracy,
    "calibration": lambda x, y: metrics.calibration(x, y).coverage.mean(),
    "energy_distance": metrics.energy_distance,
    "mean_error": metrics.mean_error,
    "mmd": metrics.mmd,
    "moment_errors": lambda x, y: metrics.moment_errors(x, y).mean_rmse,
    "nearest_neighbour_novelty": lambda x, y: metrics.nearest_neighbour_novelty(x, y).typical,
    "sliced_wasserstein": metrics.sliced_wasserstein,
    "variance_ratio": metrics.variance_ratio,
    "wasserstein": metrics.wasserstein,
}

SYSTEMS = {
    "Bifurcation": synthetic.Bifurcation(),
    "BranchingTree": synthetic.BranchingTree(n_dims=2),
    "Circuit": synthetic.circuits(4, 2),
    "GaussianToGaussian": synthetic.GaussianToGaussian(),
    "GeneCircuit": synthetic.GeneCircuit(),
    "GrowingCircuit": synthetic.GrowingCircuit(),
    "GrowingFork": synthetic.GrowingFork(fork=0.2),
    "GrowingGaussian": synthetic.GrowingGaussian(),
    "OrnsteinUhlenbeck": synthetic.OrnsteinUhlenbeck(),
    "Rotation": synthetic.Rotation(),
    "ToggleSwitch": synthetic.ToggleSwitch(),
    "TwoWell": synthetic.TwoWell(),
}

EXAMPLES = {
    "couplings": COUPLINGS,
    "paths": PATHS | CURVED,
    "fields": FIELDS,
    "densities": DENSITIES,
    "metrics": METRICS,
    "synthetic": SYSTEMS,
}


def clouds(n=40, m=30, d=3, *, seed=0):
    """Two normal clouds, of which the second lies elsewhere and is wider."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 0.7 + 1.5 * rng.standard_normal((m, d))


def members(family, module):
    """Names of the members of a family: what it exports, without its Protocols and OTHERS."""
    exported = {
        name
        for name in module.__all__
        if not getattr(getattr(module, name, None), "_is_protocol", False)
    }
    return exported - OTHERS[family]


def without_example(family, module):
    """Members of a family that have no line here, with what to do."""
    return [
        f"cellflow.{family}.{name} has no example: add one to tests/examples.py, or to OTHERS there"
        " if it is no member of the family"
        for name in sorted(members(family, module) - set(EXAMPLES[family]))
    ]
