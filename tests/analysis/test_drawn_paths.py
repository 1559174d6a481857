"""Paths in an embedding follow the cells, and never cross a gap between them."""

import numpy as np
import pytest

from cellflow.analysis.drawn_paths import Surroundings, crowding, drawn_paths, reach_of

TIMES = np.linspace(0.0, 2.0, 9)


def strip(gap: float, *, n: int = 2000, timed: bool = True) -> Surroundings:
    """Cells that move along a line; the embedding tears it apart in its middle."""
    rng = np.random.default_rng(0)
    times = rng.integers(3, size=n).astype(float)
    along = times + rng.uniform(-0.5, 0.5, size=n)
    x = np.c_[along, 0.1 * rng.normal(size=n), 0.1 * rng.normal(size=n)]
    xy = np.c_[along + gap * (along > 1.0), x[:, 1]]
    return Surroundings(x, xy, times if timed else np.full(n, np.nan))


def along_the_strip(cells: Surroundings, rows: np.ndarray) -> np.ndarray:
    """A path of each cell, at its own place at its own time."""
    moved = np.repeat(cells.x[rows][:, None], len(TIMES), axis=1)
    moved[:, :, 0] += TIMES - cells.times[rows][:, None]
    return moved


def pieces(drawn) -> np.ndarray:
    """Points of everything that is drawn, `(m, 11, 2)`."""
    both = np.stack([drawn.places[:, :-1], drawn.places[:, 1:]], axis=2)[drawn.joined]
    share = np.linspace(0.0, 1.0, 11)[:, None]
    return both[:, :1] * (1 - share) + both[:, 1:] * share


def drawn(cells: Surroundings, n: int = 40):
    rows = np.arange(n)
    reach = reach_of(cells.xy)
    return drawn_paths(along_the_strip(cells, rows), TIMES, rows, cells, reach), reach


@pytest.mark.parametrize("gaps", [1.25, 1.9, 3.0, 30.0])
def test_no_line_crosses_a_gap_that_is_wider_than_a_neighbourhood(gaps: float) -> None:
    gap = gaps * reach_of(strip(0.0).xy)
    cells = strip(gap)
    paths, _ = drawn(cells)
    x = pieces(paths)[..., 0]
    left, right = x < 1.0 + gap / 2, x > 1.0 + gap / 2
    assert left.any()
    assert right.any()
    assert (left.all(axis=1) | right.all(axis=1)).all()


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.5])
def test_every_point_of_a_line_is_near_cells(gap: float) -> None:
    cells = strip(gap)
    paths, reach = drawn(cells)
    apart = np.linalg.norm(pieces(paths)[:, :, None] - cells.xy, axis=3).min(axis=2)
    assert apart.max() <= 0.625 * reach


def test_without_a_gap_nothing_is_broken() -> None:
    paths, _ = drawn(strip(0.0))
    assert paths.joined.all()


def test_a_path_passes_through_its_own_cell() -> None:
    cells = strip(0.0)
    paths, _ = drawn(cells)
    own = np.argmin(np.abs(paths.times - cells.times[:40, None]), axis=1)
    np.testing.assert_allclose(paths.places[np.arange(40), own], cells.xy[:40], atol=1e-9)


def test_a_path_advances_as_its_states_do() -> None:
    paths, reach = drawn(strip(0.0))
    x = paths.places[..., 0]
    assert (np.diff(x[:, ::8], axis=1) > -reach).all()
    assert (x[:, -1] - x[:, 0]).min() > 1.0


def test_a_state_between_two_lobes_is_drawn_in_one_of_them() -> None:
    """The mean of its neighbours would lie in the gap."""
    rng = np.random.default_rng(1)
    x = 0.1 * rng.normal(size=(400, 2))
    xy = np.where(np.arange(400)[:, None] % 2, x + [5.0, 0.0], x - [5.0, 0.0])
    cells = Surroundings(x, xy, np.zeros(400))
    paths = drawn_paths(np.zeros((1, 3, 2)), TIMES[:3], np.array([0]), cells, reach_of(xy))
    assert (np.abs(np.abs(paths.places[..., 0]) - 5.0) < 1.0).all()


def test_cells_without_a_time_are_among_the_neighbours() -> None:
    timed, untimed = strip(0.0), strip(0.0, timed=False)
    both = Surroundings(
        np.r_[timed.x, untimed.x],
        np.r_[timed.xy, untimed.xy + 9.0],
        np.r_[timed.times, untimed.times],
    )
    rows = np.arange(20)
    paths = drawn_paths(along_the_strip(timed, rows), TIMES, rows, both, reach_of(both.xy))
    assert (paths.places[..., 1] > 8.0).any()
    assert (paths.places[..., 1] < 1.0).any()


def test_crowding_is_one_in_the_usual_place_and_zero_far_away() -> None:
    xy = np.random.default_rng(0).uniform(size=(2000, 2))
    reach = reach_of(xy)
    found = crowding(np.array([[0.5, 0.5], [0.3, 0.6], [9.0, 9.0]]), xy, reach)
    np.testing.assert_allclose(found, [1.0, 1.0, 0.0], atol=0.6)
    assert found[2] == 0.0
