"""Independent pieces of a benchmark: run by joblib on any of its backends, and kept in a folder when they are done."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cellflow.core._files import make_folder, write_bytes
from cellflow.core._numbers import is_integer
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.errors import InputError, WorkerError

__all__ = ["Cache", "Outcome", "Task", "as_jobs", "digest", "run"]

logger = logging.getLogger("cellflow")

#: Layout of the files; grows when it changes, and older files are passed over.
_FORMAT = 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a task.

    Parameters
    ----------
    values
        Plain values, as JSON has them.
    arrays
        By name.
    complete
        Whether it may be kept; a failure is tried again by the next run.
    """

    values: Any
    arrays: Mapping[str, np.ndarray]
    complete: bool = True


class Task(Protocol):
    """One independent piece of work; travels to other processes."""

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""

    def run(self) -> Outcome:
        """Do it."""


def digest(*parts: object) -> str:
    """Hash plain values and arrays (their type, shape and bytes)."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str} {part.shape} ".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        else:
            state.update(json.dumps(part, sort_keys=True).encode())
        state.update(b"\0")
    return state.hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder with the results of finished tasks, one JSON and one npz each, sealed with checksums.

    Parameters
    ----------
    folder
        Made where missing.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", make_folder(self.folder, argument="cache"))

    def get(self, key: str) -> Outcome | None:
        """Return what was kept under a key.

        None where there is nothing, or another version's entry; or where the entry is damaged,
        which is logged as a warning with the file's name.
        """
        text, arrays = self._files(key)
        if not text.is_file():
            return None
        try:
            stored = _opened_entry(text.read_bytes())
            if stored["format"] != _FORMAT:
                return None
            content = arrays.read_bytes()
            for name, found, sealed in (
                (text, _sealed(key, stored["values"]), stored["sha256"]["values"]),
                (arrays, hashlib.sha256(content).hexdigest(), stored["sha256"]["arrays"]),
            ):
                if found != sealed:
                    logger.warning(
                        "%s is damaged (its checksum is not the recorded one); computed again", name
                    )
                    return None
            with np.load(io.BytesIO(content), allow_pickle=False) as opened:
                return Outcome(stored["values"], {name: opened[name] for name in opened.files})
        # What json, zipfile and numpy raise for a content that was not written here is of many
        # classes.
        except Exception as cause:  # noqa: BLE001
            logger.warning(
                "%s is damaged (%s: %s); computed again", text, type(cause).__name__, cause
            )
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep a result; the JSON comes last and says what both files hold.

        Raises
        ------
        OutputError
            The disk is full, or the folder cannot be written to any more.
        """
        text, arrays = self._files(key)
        with io.BytesIO() as image:
            np.savez_compressed(image, **outcome.arrays)  # type: ignore[arg-type] # names of arrays, none of which is an option
            content = image.getvalue()
        seals = {
            "values": _sealed(key, outcome.values),
            "arrays": hashlib.sha256(content).hexdigest(),
        }
        entry = {"format": _FORMAT, "key": key, "values": outcome.values, "sha256": seals}
        write_bytes(arrays, content)
        write_bytes(text, json.dumps(entry).encode())

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key[:32]}.json", self.folder / f"{key[:32]}.npz"


def _opened_entry(text: bytes) -> dict[str, Any]:
    stored = json.loads(text)
    if not isinstance(stored, dict):
        msg = f"a {type(stored).__name__}, expected an object"
        raise TypeError(msg)
    return stored


def _sealed(key: str, values: Any) -> str:
    """Hash of what a JSON holds, as it comes out of one."""
    return digest(key, json.loads(json.dumps(values)))


def run(
    tasks: Sequence[Task],
    *,
    n_jobs: int | None = None,
    cache: Cache | None = None,
    progress: bool | None = None,
    name: str = "tasks",
) -> list[Outcome]:
    """Run tasks, in parallel where asked; results are in their order.

    Parameters
    ----------
    tasks
        What to do.
    n_jobs
        As joblib counts: processes or threads, -1 for one per core. None takes the number and the
        backend from a surrounding `joblib.parallel_config`, and else runs one after the other.
    cache
        Tasks that it knows are not run again; finished ones are kept at once, so that an
        interrupted run can be resumed.
    progress
        A progress bar; None shows it only to somebody who is watching.
    name
        Beside the bar.

    Raises
    ------
    WorkerError
        A worker process that ends before its task is done.
    """
    known = [None if cache is None else cache.get(task.key) for task in tasks]
    missing = [k for k, outcome in enumerate(known) if outcome is None]
    if len(missing) < len(tasks):
        logger.info(
            "%d of %d %s were found in the cache", len(tasks) - len(missing), len(tasks), name
        )
    done = {k: outcome for k, outcome in enumerate(known) if outcome is not None}
    from tqdm import tqdm

    with tqdm(
        total=len(tasks), initial=len(done), desc=name, unit="task", disable=not is_shown(progress)
    ) as bar:
        for k, outcome in _results([(k, tasks[k]) for k in missing], n_jobs, cache):
            if cache is not None and outcome.complete and cache.get(tasks[k].key) is None:
                cache.put(tasks[k].key, outcome)  # the worker's folder was on another machine
            done[k] = outcome
            bar.update()
    return [done[k] for k in range(len(tasks))]


def _results(
    tasks: Sequence[tuple[int, Task]], n_jobs: int | None, cache: Cache | None
) -> Iterator[tuple[int, Outcome]]:
    """Results as they come, where the backend can hand them over one by one."""
    if not tasks:
        return
    from joblib import Parallel, delayed
    from joblib.parallel import SequentialBackend, get_active_backend

    backend, _ = get_active_backend()
    streams = isinstance(backend, SequentialBackend) or backend.supports_return_generator
    # More workers than tasks would wait.
    n_jobs = n_jobs if n_jobs is None else min(n_jobs, max(1, len(tasks)))
    parallel = Parallel(
        n_jobs=n_jobs, return_as="generator_unordered" if streams else "list", batch_size=1
    )
    # Here too, and not only in every worker: threads that put the number back one after the other
    # would leave any of them.
    try:
        with torch_threads(1):
            yield from parallel(delayed(_finished)(k, task, cache) for k, task in tasks)
    except BrokenExecutor as cause:
        kept = "" if cache is None else " Finished tasks are in the cache and are not run again."
        msg = (
            "A worker process ended before its task was done: it was killed, often for want of"
            " memory, or crashed. Expected workers that return. Run fewer at a time with a smaller"
            f" n_jobs.{kept}"
        )
        raise WorkerError(msg) from cause


@guarded
def _finished(k: int, task: Task, cache: Cache | None) -> tuple[int, Outcome]:
    with torch_threads(1):
        outcome = task.run()
    if cache is not None and outcome.complete:
        cache.put(task.key, outcome)
    return k, outcome


def as_jobs(n_jobs: object) -> int | None:
    """Return the argument `n_jobs`.

    Raises
    ------
    InputError
        Neither None nor an integer that joblib takes; it does not take 0.
    """
    if n_jobs is None or (is_integer(n_jobs) and n_jobs != 0):
        return None if n_jobs is None else int(n_jobs)
    msg = (
        f"n_jobs={n_jobs!r}; expected a number, -1 for one per core, or None for what"
        " joblib.parallel_config says."
    )
    raise InputError(msg)
