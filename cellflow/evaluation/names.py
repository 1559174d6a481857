"""Names of the rows, clouds and protocols of a hold-out."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = [
    "BASELINES",
    "DEFAULT_PROTOCOL",
    "FLOOR",
    "MEANING",
    "MIXTURE",
    "NEXT",
    "NO_NETWORK",
    "OBSERVED",
    "OWN_PATH",
    "PREVIOUS",
    "PROTOCOLS",
    "PUBLISHED_PROTOCOL",
    "RANDOM",
    "REAL",
    "STRAIGHT",
    "Kind",
    "Protocols",
    "cloud_name",
]

#: Cells of the last snapshot before the held-out time, unmoved.
PREVIOUS = "previous snapshot"
#: Cells of the first snapshot after the held-out time, unmoved.
NEXT = "next snapshot"
#: Cells of both neighbours, weighted by closeness in time.
MIXTURE = "mixture"
#: Cells on straight lines along the exact plan between the neighbours; the reference of a verdict.
STRAIGHT = "OT interpolation"
#: Cells on straight lines between random pairs.
RANDOM = "random pairing"
#: The paths of each recipe that are not straight, without a network.
OWN_PATH = "own path"
#: What follows the name of a recipe in the row of its own paths.
NO_NETWORK = ", no network"
#: Rows without a model, in the order of the table.
BASELINES = (PREVIOUS, NEXT, MIXTURE, STRAIGHT, RANDOM, OWN_PATH)
#: What the rows without a model are, for readers of a table.
MEANING = {
    PREVIOUS: "The real cells of the last snapshot before the hidden one, unmoved.",
    NEXT: "The real cells of the first snapshot after the hidden one, unmoved.",
    MIXTURE: "The cells of both neighbouring snapshots, unmoved, weighted by closeness in time.",
    STRAIGHT: (
        "Cells on straight lines along the exact optimal transport between the two neighbouring"
        " snapshots, without any model; the reference of the verdict."
    ),
    RANDOM: "Cells on straight lines between randomly paired cells of the neighbouring snapshots.",
    NO_NETWORK: "The curved paths of a method between paired cells, without its network.",
}
#: One half of the held-out cells beside the other half.
FLOOR = "noise floor"
#: The held-out cells, among the clouds.
OBSERVED = "observed"
#: Clouds of measured cells.
REAL = (OBSERVED, PREVIOUS, NEXT)

#: What a row of the table is of.
Kind: TypeAlias = Literal["model", "baseline", "floor"]
#: How a held-out population is predicted from the other snapshots: `"P1"` pushes the real cells of
#: the last snapshot before it, as the published tables do; `"P2"` simulates the cells of the first
#: snapshot; `"two-sided"` pushes the snapshot before and pulls the one after, weighted by closeness
#: in time.
Protocols: TypeAlias = Literal["P1", "P2", "two-sided"]
PROTOCOLS: tuple[Protocols, ...] = get_args(Protocols)
#: What `cf.tl.predict` does; a verdict judges it where a method has it.
DEFAULT_PROTOCOL: Protocols = "two-sided"
#: What the published tables do; a verdict shows it beside the default.
PUBLISHED_PROTOCOL: Protocols = "P1"


def cloud_name(method: str, protocol: str = "") -> str:
    """Name of a method's cloud; without slashes, because files hold it as a group."""
    name = f"{method}, {protocol}" if protocol else method
    return name.replace("/", "_")
