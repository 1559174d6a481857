import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellflow.adapter import write as module
from cellflow.adapter.commit import commit
from cellflow.adapter.h5ad import write_h5ad
from cellflow.adapter.write import target_of, write
from cellflow.core._paths import check_writable
from cellflow.errors import InputError, OutputError
from conftest import digest

STAGED = {
    "obs": {
        "cf_time": np.arange(90.0),
        "cf_flag": np.zeros(90, dtype=bool),
        "state": pd.Categorical(["a", "b"] * 45),
    },
    "var": {"velocity_genes": np.ones(12, dtype=bool)},
    "obsm": {
        "velocity_pca": np.ones((90, 4), dtype=np.float32),
        "cf_trajectory": np.zeros((90, 20), dtype=np.float32),
    },
    "layers": {"velocity": np.zeros((90, 12), dtype=np.float32)},
    "uns": {
        "cellflow": {
            "params": {"a": 1, "b": "x", "c": 0.5, "d": True},
            "names": np.array(["u", "v"], dtype=object),
        }
    },
}


def assert_written(adata):
    for slot in ("obs", "var", "obsm", "layers"):
        for key, value in STAGED[slot].items():
            np.testing.assert_array_equal(np.asarray(getattr(adata, slot)[key]), np.asarray(value))
    assert adata.uns["cellflow"]["params"] == STAGED["uns"]["cellflow"]["params"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # zarr's and anndata's own, about formats
def test_everything_written_survives_a_file(cells, suffix, tmp_path):
    x, names = cells.X.copy(), cells.obs_names.copy()
    write(cells, STAGED)
    getattr(cells, f"write_{suffix}")(tmp_path / f"cells.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"cells.{suffix}")
    assert_written(again)
    assert (x != again.X).nnz == 0
    assert again.obs_names.equals(names)


def test_views_become_copies_without_a_warning(cells):
    view = cells[np.arange(90)]
    write(view, STAGED)
    assert not view.is_view
    assert_written(view)
    assert "cf_time" not in cells.obs


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_backed_files_change_in_memory_only(cells, mode, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    content = (tmp_path / "cells.h5ad").read_bytes()
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed=mode)
    write(backed, STAGED)
    assert_written(backed)
    backed.file.close()
    assert (tmp_path / "cells.h5ad").read_bytes() == content


def test_outdated_results_are_removed(cells, frozen):
    write(cells, STAGED)
    write(
        cells,
        {"obs": {"cf_time": np.zeros(90)}},
        remove=[("obs", "cf_time"), ("obsm", "velocity_pca"), ("obs", "nothing")],
    )
    assert (cells.obs["cf_time"] == 0).all()
    assert "velocity_pca" not in cells.obsm


BAD = {
    "obs of wrong length": (
        {"obs": {"a": np.zeros(3)}},
        r"adata\.obs\['a'\] would get shape \(3,\); expected \(90,\)",
    ),
    "obs of two axes": ({"obs": {"a": np.zeros((90, 1))}}, "shape"),
    "obs of complex": ({"obs": {"a": np.zeros(90, dtype=complex)}}, "dtype complex128"),
    "var of wrong length": ({"var": {"a": np.zeros(90)}}, r"expected \(12,\)"),
    "obsm of one axis": ({"obsm": {"a": np.zeros(90)}}, r"expected \(90, d\)"),
    "obsm of three axes": (
        {"obsm": {"a": np.zeros((90, 3, 2))}},
        r"shape \(90, 3, 2\); expected \(90, d\)",
    ),
    "obsm of wrong length": ({"obsm": {"a": np.zeros((9, 2))}}, r"shape \(9, 2\)"),
    "obsm of objects": ({"obsm": {"a": np.zeros((90, 2), dtype=object)}}, "dtype object"),
    "layer of wrong shape": ({"layers": {"a": np.zeros((90, 2))}}, r"expected \(90, 12\)"),
    "NaN in a velocity": (
        {"obsm": {"velocity_pca": np.full((90, 2), np.nan)}},
        "180 values that are not finite",
    ),
    "None": ({"uns": {"a": {"b": None}}}, r"adata\.uns\['a'\]\['b'\] is a NoneType"),
    "tuple": ({"uns": {"a": (1, 2)}}, "is a tuple"),
    "key with a slash": ({"uns": {"a": {"b/c": 1}}}, "without '/'"),
    "key of another type": ({"uns": {"a": {1: 1}}}, "without '/'"),
    "array of objects": ({"uns": {"a": np.array([None, 1])}}, "dtype object"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_belong_is_refused_before_anything_is_written(cells, case, frozen):
    staged, message = BAD[case]
    with frozen(cells), pytest.raises(InputError, match=message):
        write(cells, {"obs": {"good": np.zeros(90)}} | staged)


@pytest.mark.parametrize("slot", ["obs", "var", "obsm", "layers"])
@pytest.mark.parametrize("as_view", [False, True])
def test_a_failure_on_the_way_takes_everything_back(cells, slot, as_view, monkeypatch):
    write(cells, STAGED)
    adata = cells[np.arange(90)] if as_view else cells
    slots = ("obs", "var", "obsm", "layers")
    before = {s: {k: np.array(v) for k, v in dict(getattr(cells, s)).items()} for s in slots}
    changed = {
        s: {k: np.zeros_like(v) for k, v in STAGED[s].items() if k != "state"} for s in slots
    }
    unwritable = {
        slot: changed.pop(slot) | {"last": np.zeros(3)}
    }  # anndata itself refuses the length
    monkeypatch.setattr(module, "_check", lambda *_: None)
    with pytest.raises(ValueError, match=r"[Ll]ength|shape"):
        write(
            adata,
            changed | {"uns": {"cellflow": 0}} | unwritable,
            remove=[("obsm", "X_umap"), ("obs", "hours")],
        )
    for s in slots:
        assert set(getattr(adata, s)) == set(before[s])
        for k, value in before[s].items():
            np.testing.assert_array_equal(np.asarray(getattr(adata, s)[k]), value)
    assert adata.uns["cellflow"]["params"] == STAGED["uns"]["cellflow"]["params"]


# Interrupts ---------------------------------------------------------------------------------------


def whole(adata):
    """Hash of everything in an AnnData, the order of keys included."""
    orders = {slot: list(getattr(adata, slot)) for slot in ("obs", "var", "obsm", "layers", "uns")}
    return {**digest(adata), "orders": orders}


def _refit(cells):
    write(cells, STAGED)
    cells.obs["last"] = 1
    return cells


#: What is written to; what is staged, and what is removed.
INTERRUPTED = {
    "new results": (lambda cells: cells, []),
    "removals": (
        _refit,
        [
            ("obs", "state"),
            ("obs", "hours"),
            ("obsm", "velocity_pca"),
            ("layers", "velocity"),
            ("uns", "old"),
        ],
    ),
    "a view": (lambda cells: cells[np.arange(90)], []),
    "a view, reordered, with removals": (
        lambda cells: _refit(cells)[::-1],
        [("obs", "state"), ("obsm", "X_umap")],
    ),
    "a view of genes and cells": (lambda cells: cells[:, np.arange(12)][5:], []),
}


def _fit_to(adata):
    return {
        s: {k: v if s in {"uns", "var"} else v[: adata.n_obs] for k, v in kept.items()}
        for s, kept in STAGED.items()
    }


@pytest.fixture
def _interruptible():
    """Ctrl-C raises, though a process in the background may have been started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("case", INTERRUPTED)
def test_an_interrupt_at_any_line_leaves_nothing_half_written(cells, case):
    """KeyboardInterrupt at each line of the writer in turn: what was there is there, in its order,
    or all that is new.
    """
    prepare, removed = INTERRUPTED[case]
    cells.uns["old"] = {"a": 1}
    base = prepare(cells)
    complete = prepare(cells.copy())
    write(complete, _fit_to(complete), remove=removed)
    before, after = whole(base), whole(complete)
    outcomes = set()
    for line in range(1, 2000):
        adata = base.copy() if not base.is_view else base._adata_ref[base.obs_names, base.var_names]
        at, done = [0], False

        def trace(frame, event, _argument, at=at, line=line):
            if (
                not frame.f_code.co_filename.endswith(("write.py", "commit.py"))
                or frame.f_code.co_name == "_check"
            ):
                return None
            at[0] += event == "line"
            if event == "line" and at[0] == line:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            write(adata, _fit_to(adata), remove=removed)
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        found = whole(adata)
        assert found in (before, after), line
        outcomes.add("before" if found == before else "after")
        if done:
            break
    assert done
    assert outcomes == {"before", "after"}


class _Signalling(dict):
    """Staged values that send a signal to this process while they are written."""

    def items(self):
        for number, item in enumerate(super().items()):
            yield item
            if number == 0:
                os.kill(os.getpid(), self.number)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("case", ["Ctrl-C", "twice", "an alarm of the caller", "another thread"])
def test_a_signal_waits_until_all_is_written(cells, case):
    class _Alarm(Exception):
        """Of a caller who limits the time."""

    def ring(number, frame):
        raise _Alarm

    staged = _Signalling(STAGED["obs"])
    staged.number = signal.SIGALRM if case == "an alarm of the caller" else signal.SIGINT
    slots = (
        {"obs": staged, "obsm": _Signalling(STAGED["obsm"])} if case == "twice" else {"obs": staged}
    )
    if case == "twice":
        slots["obsm"].number = signal.SIGINT
    checked = {slot: dict(dict.items(values)) for slot, values in slots.items()}
    before = signal.signal(signal.SIGALRM, ring)
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM)
    }
    try:
        if case == "another thread":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(commit, cells, checked, []).result()
        else:
            with pytest.raises(_Alarm if case == "an alarm of the caller" else KeyboardInterrupt):
                commit(cells, slots, [])
        assert handlers == {number: signal.getsignal(number) for number in handlers}
    finally:
        signal.signal(signal.SIGALRM, before)
    for slot, values in checked.items():
        assert set(values) <= set(getattr(cells, slot))


def test_a_view_of_a_file_is_refused_before_any_work(cells, tmp_path, frozen):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    view = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")[:60]
    with pytest.raises(InputError, match=r"view of one that is backed by a file.*to_memory\(\)"):
        target_of(view, copy=False)
    view.file.close()


# Files --------------------------------------------------------------------------------------------


def test_files_come_back(cells, tmp_path, frozen):
    cells.obs["text"] = "a"
    with frozen(cells):
        write_h5ad(cells, tmp_path / "a.h5ad", compression="gzip")
    assert ad.read_h5ad(tmp_path / "a.h5ad").shape == cells.shape
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


def test_links_stay_links_and_permissions_stay(cells, tmp_path):
    real = tmp_path / "real.h5ad"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link.h5ad").symlink_to(real)
    write_h5ad(cells, tmp_path / "link.h5ad")
    assert (tmp_path / "link.h5ad").is_symlink()
    assert ad.read_h5ad(real).n_obs == 90
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_the_old_file(cells, tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_bytes(b"old")
    cells.uns["bad"] = {"deep": object()}
    with pytest.raises(InputError, match=r"cannot be stored as an h5ad, adata\.uns: .*'deep'"):
        write_h5ad(cells, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


def test_a_full_disk_is_named(tmp_path):
    """With a limit on the size of files, which the system reports much like a full disk."""
    (tmp_path / "a.h5ad").write_bytes(b"old")
    code = """
    import resource, sys
    import anndata as ad, numpy as np
    from cellflow.adapter.h5ad import write_h5ad
    from cellflow.errors import OutputError
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        write_h5ad(ad.AnnData(np.random.default_rng(0).random((1000, 500))), sys.argv[1])
    except OutputError as error:
        print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a.h5ad")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "disk full" in done.stdout, done.stderr
    assert "MB free now" in done.stdout
    assert (tmp_path / "a.h5ad").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


def test_paths_are_checked_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "folder.h5ad").mkdir()
    bad = {
        tmp_path / "folder.h5ad": "is a folder",
        tmp_path / "missing" / "a.h5ad": "does not exist",
        tmp_path / "noextension": "does not end in '.h5ad'",
        tmp_path / "a.csv": "does not end in '.h5ad'",
        tmp_path / ("x" * 300 + ".h5ad"): "too long|characters; choose",
        "": "does not end in",
    }
    for path, message in bad.items():
        with pytest.raises(OutputError, match=message):
            check_writable(path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission in"):
        check_writable(tmp_path / "a.h5ad")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.h5ad"]
