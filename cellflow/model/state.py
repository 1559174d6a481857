"""A flow as plain values and arrays by name, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellflow.core._devices import remembered_device
from cellflow.core._drawing import Drawing
from cellflow.core._stored import Stored, require_weights
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputTypeError, ModelFileError
from cellflow.fields.dynamics import Dynamics, averaged, joined
from cellflow.fields.ladder import Ladder, Moments
from cellflow.model.description import current, generates
from cellflow.model.networks import Network, Networks
from cellflow.training import History

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["FORMAT", "arguments", "state"]

#: Number of the layout that `state` returns; grows when the layout changes. 1: no score and no
#: context; 2: a recipe with `field` and `score`; 3: named heads, `generates`, `device`; 4: several
#: members.
FORMAT = 4
#: Layout of a single flow, which older versions read.
_SINGLE = 3
_WEIGHTS = "dynamics."
_HISTORY = "history."
_DECODER = "decoder."
#: Context features of a stored flow at most; their weights are compared with the file before there
#: is memory for them.
_MOST_CONTEXT = 10**6


def state(flow: Flow) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Configuration (JSON-able plain values) and arrays by name; the arrays are copies."""
    decoder = flow.decoder
    scored = flow.dynamics.score is not None
    several = {}
    if flow.members:
        several = {name: getattr(flow, name) for name in ("n_members", "degrees")}
    config = {
        "format": FORMAT if several else _SINGLE,
        "version": flow.version,
        "n_dims": flow.n_dims,
        "clock": asdict(flow.clock),
        "sigma": flow.dynamics.sigma,
        "n_context": flow.n_context,
        **several,
        "generates": flow.generates,
        "device": str(flow.device),
        "ladder": asdict(flow.score_network.ladder) if scored else None,
        "recipe": dict(flow.recipe),
        "plans": {key: dict(value) for key, value in flow.plans.items()},
        "seed": flow.seed,
        "threads": flow.threads,
        "seconds": flow.seconds,
        "decoder": (
            decoder and {"genes": decoder.genes.tolist(), "kind": decoder.kind, "r2": decoder.r2}
        ),
    }
    arrays = {"times": flow.times, "frame.shift": flow.frame.shift, "frame.scale": flow.frame.scale}
    weights = flow.dynamics.state_dict()
    arrays |= {_WEIGHTS + k: v.detach().cpu().numpy() for k, v in weights.items()}
    arrays |= {_HISTORY + k: v for k, v in flow.history.items()}
    if decoder is not None:
        arrays |= {_DECODER + "mean": decoder.mean, _DECODER + "loadings": decoder.loadings}
        arrays |= {} if decoder.gene_r2 is None else {_DECODER + "gene_r2": decoder.gene_r2}
    return config, {k: np.array(v, order="C") for k, v in arrays.items()}


def arguments(
    config: Mapping[str, Any], arrays: Mapping[str, FloatArray], own: Networks
) -> dict[str, Any]:
    """Arguments of the `Flow` that `state` described, in this layout or an older one.

    Raises
    ------
    ModelFileError
        A newer format, a network that is not known, or arrays that do not fit.
    """
    if not isinstance(own, Mapping) or not all(callable(network) for network in own.values()):
        msg = f"fields={own!r}; expected network classes by name, {{'Mine': Mine}}."
        raise InputTypeError(msg)
    given = Stored("model", config, {})
    layout = given.count("format", given.value("format"), least=1)
    if layout > FORMAT:
        msg = (
            f"The model was written by cellflow {config.get('version')} (format {layout}); this"
            f" is {__version__}, which reads up to format {FORMAT}. Upgrade"
            " cellflow-trajectory."
        )
        raise ModelFileError(msg)
    try:
        return _arguments(Stored("model", config, arrays), own)
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as cause:
        given.fail(cause)


def _arguments(stored: Stored, own: Networks) -> dict[str, Any]:
    """Values checked one by one, sizes before anything of that size is made."""
    shift = stored.array("frame.shift", (None,))
    n_dims = stored.count("n_dims", stored.value("n_dims"), least=1, most=len(shift))
    shift = stored.array("frame.shift", (n_dims,))
    scale = stored.array("frame.scale", (n_dims,), positive=True)
    times = stored.array("times", (None,), increasing=True)
    clock = _clock(stored)
    recipe = current(stored.mapping("recipe", stored.value("recipe")))
    stored.text("recipe.name", recipe.get("name"))
    stored.mapping("recipe.path", recipe.get("path"))
    dynamics = _dynamics(stored, recipe, clock, own)
    device = remembered_device(stored.text("device", stored.config.get("device", "cpu")))
    several: dict[str, float] = {}
    if (n_members := _n_members(stored)) > 1:
        degrees = stored.number("degrees", stored.value("degrees"), above=0.0)
        several = {"n_members": n_members, "degrees": degrees}
    plans = stored.mapping("plans", stored.value("plans"))
    histories = stored.under(_HISTORY)
    decoder = stored.value("decoder")
    return {
        **several,
        "dynamics": dynamics.to(device),
        "frame": Frame(shift, scale),
        "clock": clock,
        "times": times,
        "recipe": recipe,
        "plans": {name: stored.mapping(f"plans.{name}", plan) for name, plan in plans.items()},
        "history": History(
            (name, stored.array(_HISTORY + name, (len(found),), finite=False))
            for name, found in histories.items()
        ),
        "seed": stored.count("seed", stored.value("seed")),
        "threads": stored.count("threads", stored.value("threads"), least=1),
        "seconds": stored.number("seconds", stored.value("seconds"), least=0.0),
        "version": stored.text("version", stored.value("version")),
        "decoder": None if decoder is None else _decoder(stored, n_dims),
        "n_context": _n_context(stored),
        "generates": stored.flag("generates", stored.config.get("generates", generates(recipe))),
    }


def _n_members(stored: Stored, most: float = math.inf) -> int:
    """Number of flows of an ensemble; 1 of a single flow."""
    return stored.count("n_members", stored.config.get("n_members", 1), least=1, most=most)


def _n_context(stored: Stored) -> int:
    return stored.count("n_context", stored.config.get("n_context", 0), most=_MOST_CONTEXT)


def _seed(stored: Stored) -> int:
    return stored.count("seed", stored.value("seed"), most=2**63 - 1)


def _clock(stored: Stored) -> Clock:
    found = stored.mapping("clock", stored.value("clock"))
    least = {"start": -math.inf, "stop": -math.inf, "unit": 0.0, "median_gap": 0.0}
    numbers = {
        name: stored.number(f"clock.{name}", found.get(name), above=above)
        for name, above in least.items()
    }
    if not numbers["start"] < numbers["stop"]:
        stored.fail(
            f"clock.stop is {numbers['stop']:g}, expected a number above clock.start,"
            f" {numbers['start']:g}"
        )
    return Clock(**numbers)


def _decoder(stored: Stored, n_dims: int) -> Decoder:
    decoder = stored.mapping("decoder", stored.value("decoder"))
    genes = decoder.get("genes")
    if not isinstance(genes, list) or not all(isinstance(gene, str) for gene in genes):
        stored.fail("decoder.genes is no list of names")
    stored.array(_DECODER + "mean", (len(genes),))
    stored.array(_DECODER + "loadings", (len(genes), n_dims))
    return Decoder.from_state(decoder, stored.under(_DECODER))


def _dynamics(stored: Stored, recipe: Mapping[str, Any], clock: Clock, own: Networks) -> Dynamics:
    """The networks of a stored flow with their weights."""
    heads = stored.mapping("recipe.heads", recipe.get("heads"))
    described = {k: stored.mapping(f"recipe.heads.{k}", head) for k, head in heads.items()}
    along = {
        name: stored.text(f"recipe.heads.{name}.along", head["along"])
        for name, head in described.items()
        if head.get("along") is not None
    }
    ladder = _ladder(stored)
    specs = {name: head.get("network") for name, head in described.items()}
    wanted = {"velocity"} if ladder is None else {"velocity", "score"}
    specs = {k: spec for k, spec in specs.items() if spec is not None or k in wanted}
    if not wanted <= set(specs) or ("score" in specs and ladder is None):
        stored.fail(f"recipe.heads has {sorted(specs)}, expected {sorted(wanted)} among them")
    known = {
        name: Network.of(stored, f"recipe.heads.{name}.network", spec, own)
        for name, spec in specs.items()
    }
    weights = stored.under(_WEIGHTS)
    # Networks of our own are made without memory for their weights, which are put in afterwards. So
    # no size in the file can ask for more than its arrays take, and nothing is drawn. A class of
    # the user's may need real numbers when it is made; what it draws and does not store is as in
    # the fit.
    light = all(network.light for network in known.values())
    n_weights = sum(array.size for array in weights.values())
    n_dims = stored.config["n_dims"]
    n_members = _n_members(stored, n_weights)
    n_times = len(stored.arrays["times"])
    with torch.device("meta") if light else Drawing(_seed(stored)):
        dynamics = Dynamics.built(
            n_dims,
            clock,
            {name: network.builder(stored, n_weights) for name, network in known.items()},
            ladder=ladder,
            moments=None if ladder is None else Moments.blank(n_times, n_dims),
            along=along,
            n_context=_n_context(stored),
            sigma=stored.number("sigma", stored.value("sigma"), least=0.0),
        )
        dynamics = averaged(joined([dynamics] * n_members), n_members)
    return _weighted(stored, dynamics, weights, light=light)


def _weighted(
    stored: Stored, dynamics: Dynamics, weights: Mapping[str, FloatArray], *, light: bool
) -> Dynamics:
    """Networks with their stored weights; those that are `light` have no memory for any yet."""
    made = dynamics.state_dict()
    kinds = {name: (tuple(a.shape), a.is_floating_point()) for name, a in made.items()}
    require_weights(stored, _WEIGHTS, kinds)
    tensors = {name: torch.from_numpy(a).to(made[name].dtype) for name, a in weights.items()}
    dynamics.load_state_dict(tensors, assign=light)
    return dynamics.eval()


def _ladder(stored: Stored) -> Ladder | None:
    """The noise levels of the score; its constants are checked with them."""
    found = stored.config.get("ladder")
    if found is None:
        return None
    levels = stored.mapping("ladder", found).get("levels")
    numbers = (stored.number("ladder.levels", level, above=0.0) for level in levels or ())
    ladder = Ladder(tuple(numbers))
    n_times = len(stored.arrays["times"])
    n_dims = stored.config["n_dims"]
    for score in _scores(stored):
        stored.array(f"{score}.knots", (n_times,), increasing=True)
        stored.array(f"{score}.variance", (n_times, n_dims), positive=True)
        stored.array(f"{score}.axes", (n_dims, n_dims))
    return ladder


def _scores(stored: Stored) -> list[str]:
    """Where the constants of scores are: of one, those of an ensemble, or of each member."""
    n_members = _n_members(stored)
    if n_members == 1:
        return [f"{_WEIGHTS}score"]
    joint = f"{_WEIGHTS}score.stacked"
    if f"{joint}.members.0.knots" not in stored.arrays:
        return [joint]
    return [f"{joint}.members.{m}" for m in range(_n_members(stored, len(stored.arrays)))]
