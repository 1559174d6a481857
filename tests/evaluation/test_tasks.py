"""Tasks: in any order, on any backend, resumed from a folder."""

import json
from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch

from cellflow.errors import InputError, OutputError
from cellflow.evaluation.tasks import Cache, Outcome, as_jobs, digest, run


@dataclass(frozen=True)
class Square:
    number: int
    complete: bool = True

    @property
    def key(self):
        return digest("square", self.number)

    def run(self):
        values = {
            "square": self.number**2,
            "threads": torch.get_num_threads(),
            "missing": float("nan"),
        }
        return Outcome(values, {"row": np.full(2, self.number, dtype=np.float32)}, self.complete)


class Stopped(Square):
    def run(self):
        raise KeyboardInterrupt


def squares(outcomes):
    return [outcome.values["square"] for outcome in outcomes]


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_results_are_in_order_on_every_backend(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        outcomes = run([Square(k) for k in range(5)])
    assert squares(outcomes) == [0, 1, 4, 9, 16]
    assert {outcome.values["threads"] for outcome in outcomes} == {1}


def test_threads_of_the_caller_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend="threading", n_jobs=3):
            run([Square(k) for k in range(9)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_run_is_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run([Square(1), Square(2), Stopped(3)], cache=Cache(tmp_path))
    assert Cache(tmp_path).get(Square(2).key).values["square"] == 4
    assert squares(run([Stopped(2), Square(3), Stopped(1)], cache=Cache(tmp_path))) == [4, 9, 1]
    assert not [p for p in tmp_path.iterdir() if p.suffix not in {".json", ".npz"}]


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    cache = Cache(tmp_path / "new" / "folder")
    (first,) = run([Square(3)], cache=cache)
    (again,) = run([Stopped(3)], cache=cache)
    assert again.arrays["row"].dtype == np.float32
    np.testing.assert_array_equal(again.arrays["row"], first.arrays["row"])
    assert np.isnan(again.values.pop("missing"))
    first.values.pop("missing")
    assert again.values == first.values


def test_failures_are_not_kept(tmp_path):
    run([Square(3, complete=False)], cache=Cache(tmp_path))
    assert Cache(tmp_path).get(Square(3).key) is None


@pytest.mark.parametrize(
    "damage", ["", "{", '{"format": 99}', '{"format": 1, "key": "other", "values": {}}', "[]"]
)
def test_a_damaged_entry_is_none(tmp_path, damage):
    cache = Cache(tmp_path)
    run([Square(3)], cache=cache)
    (text,) = tmp_path.glob("*.json")
    stored = text.read_text()
    text.write_text(damage)
    assert cache.get(Square(3).key) is None
    text.write_text(stored)
    (arrays,) = tmp_path.glob("*.npz")
    arrays.write_bytes(b"nothing")
    assert cache.get(Square(3).key) is None
    assert squares(run([Square(3)], cache=cache)) == [9]
    assert json.loads(text.read_text())["values"]["square"] == 9


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_every_changed_byte_of_an_entry_is_noticed_and_named(tmp_path, ending, caplog):
    cache = Cache(tmp_path)
    (first,) = run([Square(3)], cache=cache)
    (file,) = tmp_path.glob(f"*.{ending}")
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(bytes(damaged))
        caplog.clear()
        found = cache.get(Square(3).key)
        if found is None:
            other_version = ending == "json" and b'{"format": 3, ' not in damaged
            assert other_version or tmp_path.name in caplog.text
            assert other_version or "is damaged" in caplog.text
        else:  # the other spelling of a name that nothing reads
            assert digest(found.values) == digest(json.loads(json.dumps(first.values)))
            np.testing.assert_array_equal(found.arrays["row"], first.arrays["row"])
    assert squares(run([Square(3)], cache=cache)) == [9]
    assert cache.get(Square(3).key).values["square"] == 9


@pytest.mark.parametrize("ending", ["json", "npz"])
@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[" * 100_000, b"\x80\x04K\x01.", b"\xff" * 50, None]
)
def test_an_entry_that_is_something_else_is_computed_again(tmp_path, ending, content):
    cache = Cache(tmp_path)
    run([Square(3)], cache=cache)
    (file,) = tmp_path.glob(f"*.{ending}")
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    assert cache.get(Square(3).key) is None
    if content is not None:
        assert squares(run([Square(3)], cache=cache)) == [9]


def test_an_entry_of_another_key_is_not_taken(tmp_path):
    cache = Cache(tmp_path)
    run([Square(3)], cache=cache)
    for ending in ("json", "npz"):
        (file,) = tmp_path.glob(f"*.{ending}")
        file.rename(tmp_path / f"{Square(4).key[:32]}.{ending}")
    assert cache.get(Square(4).key) is None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Cache(tmp_path / "file" / "cache")


def test_hashes_tell_apart_what_differs():
    a = np.arange(4.0)
    different = [
        digest(a),
        digest(a.reshape(2, 2)),
        digest(a.astype(np.float32)),
        digest(a, 1),
        digest(1, a),
        digest([1.0]),
        digest("1"),
    ]
    assert len(set(different)) == len(different)
    assert digest({"b": 1, "a": a.tolist()}) == digest({"a": a.tolist(), "b": 1})


@pytest.mark.parametrize("jobs", [0, "2", 1.5, True])
def test_numbers_of_jobs_that_are_none(jobs):
    with pytest.raises(InputError, match="n_jobs="):
        as_jobs(jobs)


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_is_shown_on_request(progress, capsys):
    run([Square(1), Square(2)], progress=progress, name="squares")
    assert ("2/2" in capsys.readouterr().err) is progress
