"""Independent tasks: run by joblib on any of its backends, with results kept in a folder."""

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

from cellflow.core._files import write_bytes
from cellflow.core._numbers import is_integer
from cellflow.core._paths import make_folder
from cellflow.core._progress import is_shown
from cellflow.core._sealed import opened_json, sealed_json, sha256
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.errors import InputError, WorkerError

__all__ = ["Cache", "Outcome", "Task", "as_jobs", "digest", "run"]

logger = logging.getLogger("cellflow")

#: Number of the file layout, and how a JSON of it begins; files of another layout are ignored.
_FORMAT = 3
_LAYOUT = b'{"format": 3, '


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a task.

    Parameters
    ----------
    values
        Plain values, as JSON has them.
    arrays
        By name.
    complete
        Whether it may be kept; a failed task runs again in the next run.
    """

    values: Any
    arrays: Mapping[str, np.ndarray]
    complete: bool = True


class Task(Protocol):
    """One independent computation, which can run in another process."""

    @property
    def key(self) -> str:
        """What its result depends on, as a hash."""

    def run(self) -> Outcome:
        """Compute the result."""


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
    """A folder with the results of finished tasks, one JSON and one npz each, with checksums.

    Parameters
    ----------
    folder
        Created if missing.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", make_folder(self.folder, argument="cache"))

    def get(self, key: str) -> Outcome | None:
        """Return the result of a key; None if missing, of another layout, or damaged.

        A damaged entry is logged as a warning with the file's name.
        """
        text, arrays = self._files(key)
        if not text.is_file():
            return None
        try:
            sealed = text.read_bytes()
            if not sealed.startswith(_LAYOUT):
                return None
            stored, sums, whole = opened_json(sealed, flat=True)
            content = arrays.read_bytes()
            for name, right in (
                (text, whole and stored["key"] == key),
                (arrays, sha256(content) == sums["arrays"]),
            ):
                if not right:
                    logger.warning(
                        "%s is damaged (its checksum is not the recorded one); computed again", name
                    )
                    return None
            with np.load(io.BytesIO(content), allow_pickle=False) as opened:
                return Outcome(stored["values"], {name: opened[name] for name in opened.files})
        # json, zipfile and numpy raise errors of many classes for a damaged content.
        except Exception as cause:  # noqa: BLE001
            logger.warning(
                "%s is damaged (%s: %s); computed again", text, type(cause).__name__, cause
            )
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep a result; the JSON, with the checksums of both files, is written last.

        Raises
        ------
        OutputError
            The disk is full, or the folder cannot be written to any more.
        """
        text, arrays = self._files(key)
        with io.BytesIO() as image:
            arrays_by_name: dict[str, Any] = dict(outcome.arrays)
            np.savez_compressed(image, **arrays_by_name)
            content = image.getvalue()
        entry = {"format": _FORMAT, "key": key, "values": outcome.values}
        write_bytes(arrays, content)
        write_bytes(text, sealed_json(entry, {"arrays": content}, flat=True))

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key[:32]}.json", self.folder / f"{key[:32]}.npz"


def run(
    tasks: Sequence[Task],
    *,
    n_jobs: int | None = None,
    cache: Cache | None = None,
    progress: bool | None = None,
    name: str = "tasks",
) -> list[Outcome]:
    """Run tasks, in parallel if asked; results are in the order of the tasks.

    Parameters
    ----------
    tasks
        What to run.
    n_jobs
        As joblib counts: processes or threads, -1 for one per core. None takes the number and the
        backend from a surrounding `joblib.parallel_config`, and else runs one after the other.
    cache
        Tasks with a kept result are not run again; results are kept at once, so that an
        interrupted run can be resumed.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.
    name
        Text beside the bar.

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
                cache.put(tasks[k].key, outcome)  # the folder of the worker is on another machine
            done[k] = outcome
            bar.update()
    return [done[k] for k in range(len(tasks))]


def _results(
    tasks: Sequence[tuple[int, Task]], n_jobs: int | None, cache: Cache | None
) -> Iterator[tuple[int, Outcome]]:
    """Results as soon as they are there, if the backend can return them one by one."""
    if not tasks:
        return
    from joblib import Parallel, delayed
    from joblib.parallel import SequentialBackend, get_active_backend

    backend, _ = get_active_backend()
    streams = isinstance(backend, SequentialBackend) or backend.supports_return_generator
    # More workers than tasks would be idle.
    n_jobs = n_jobs if n_jobs is None else min(n_jobs, max(1, len(tasks)))
    parallel = Parallel(
        n_jobs=n_jobs, return_as="generator_unordered" if streams else "list", batch_size=1
    )
    # Here as well as in every worker: worker threads that restore the number of torch threads one
    # after the other would leave an arbitrary number.
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
