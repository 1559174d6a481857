"""Files: whole or not at all, errors in words, nothing left behind."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from cellflow import errors
from cellflow.adapter.h5ad import write_h5ad
from cellflow.core import _files
from cellflow.core._files import remove_leftovers, replaced, write_bytes, write_text
from cellflow.core._paths import as_path, check_writable, make_folder
from cellflow.errors import InputTypeError, OutputError
from cellflow.evaluation.tasks import Cache, Outcome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, links and signals of POSIX")
CELLS = ad.AnnData(np.ones((3, 2), dtype=np.float32))


def dead_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def at(name: str, suffix: str) -> str:
    return name if name in {".", "loop"} else name + suffix


#: Everything that writes a file, given its name without an ending.
WRITERS = {
    "text": lambda place: write_text("new", at(place, ".html"), suffix=".html"),
    "h5ad": lambda place: write_h5ad(CELLS, at(place, ".h5ad")),
    "bytes": lambda place: write_bytes(check_writable(at(place, ".png"), suffix=".png"), b"new"),
}

# Places that cannot be written --------------------------------------------------------------------

PLACES = {
    "missing folder": "none/new",
    "below a file": "file/new",
    "name of 300 characters": "x" * 300,
    "name of 255 characters and an ending": "x" * 255,
    "null character": "a\0b",
    "null character in a folder": "a\0b/new",
    "path of 5000 characters": "x/" * 2500 + "new",
    "loop of links in the folder": "loop/new",
    "a link to a missing folder": "dangling/new",
    "nothing": "",
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("case", PLACES)
def test_a_forbidden_place_is_an_output_error(writer, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"old")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    before = entries(tmp_path)
    with pytest.raises(OutputError):
        WRITERS[writer](PLACES[case])
    assert entries(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_only_a_regular_file_is_replaced(kind, tmp_path):
    place = tmp_path / "a.h5ad"
    {
        "folder": place.mkdir,
        "pipe": lambda: os.mkfifo(place),
        "loop": lambda: place.symlink_to(place),
    }[kind]()
    with pytest.raises(OutputError, match=r"a\.h5ad"):
        write_h5ad(CELLS, place)
    assert entries(tmp_path) == ["a.h5ad"]


@pytest.mark.parametrize("path", [3, None, b"a.h5ad", ["a"], 1.5, np.array("a"), {}])
def test_what_is_no_path_is_named(path):
    with pytest.raises(InputTypeError, match="expected a path"):
        as_path(path)


@pytest.mark.parametrize("case", ["file", "below a file", "null", "long", "loop", "dangling"])
@pytest.mark.parametrize("make", [make_folder, Cache])
def test_a_folder_that_cannot_be_made(case, make, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    name = {"below a file": "file/new", "null": "a\0", "long": "x" * 300}.get(case, case)
    with pytest.raises(OutputError, match="cannot be made"):
        make(tmp_path / name)


# Whole or not at all ------------------------------------------------------------------------------

REASONS = [
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EBUSY,
    errno.EMFILE,
    errno.ESTALE,
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("stage", ["os.open", "os.fsync", "os.replace"])
@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_whatever_the_system_refuses_leaves_the_old_file(
    writer, stage, number, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    file = tmp_path / {"text": "a.html", "h5ad": "a.h5ad", "bytes": "a.png"}[writer]
    file.write_bytes(b"old")
    monkeypatch.setattr(stage, refuse)
    with pytest.raises(OutputError, match=os.strerror(number)) as caught:
        WRITERS[writer](str(tmp_path / "a"))
    assert str(file) in str(caught.value)
    assert file.read_bytes() == b"old"
    assert entries(tmp_path) == [file.name]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, MemoryError, ValueError, errors.InputError]
)
def test_an_interruption_leaves_the_old_file(error, tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def stopped():
        with replaced(target) as file:
            file.write(b"new")
            raise error("stop")

    with pytest.raises(error):
        stopped()
    assert target.read_bytes() == b"old"
    assert entries(tmp_path) == ["a"]


def test_a_full_disk_never_reaches_hdf5(tmp_path):
    """Limits on the size of files, which the system reports much like a full disk, at every stage
    of the writing.
    """
    code = """
    import resource, signal, sys
    import anndata as ad, numpy as np, scipy.sparse as sp
    from cellflow.adapter.h5ad import write_h5ad
    from cellflow.errors import OutputError
    rng = np.random.default_rng(0)
    x = sp.random(300, 50, 0.3, format="csr", random_state=0)
    cells = ad.AnnData(x, obsm={"X_pca": rng.random((300, 5))})
    cells.uns["text"] = {str(k): "x" * 50 * k for k in range(40)}
    cells.obs["word"] = [f"w{k}" for k in range(300)]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for compression in (None, "gzip"):
        for limit in [0, 1, 100, 2000, *range(4096, 200_000, 16_384)]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                write_h5ad(cells, sys.argv[1], compression=compression)
            except OutputError as error:
                assert "disk full" in str(error) and "MB free now" in str(error), error
                assert open(sys.argv[1], "rb").read() == b"old"
            else:
                assert limit > 50_000, limit
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                assert ad.read_h5ad(sys.argv[1]).shape == (300, 50)
                open(sys.argv[1], "wb").write(b"old")
    print("done")
    """
    (tmp_path / "a.h5ad").write_bytes(b"old")
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a.h5ad")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert entries(tmp_path) == ["a.h5ad"]


def test_a_full_disk_in_the_middle_of_a_cache(tmp_path, monkeypatch):
    cache = Cache(tmp_path)
    cache.put("0" * 64, Outcome({"a": 1}, {"x": np.ones(3)}))

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="disk full"):
        cache.put("0" * 64, Outcome({"a": 2}, {"x": np.zeros(3)}))
    assert cache.get("0" * 64).values == {"a": 1}
    assert len(entries(tmp_path)) == 2


# Modes, links, leftovers --------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_a_new_file_has_the_mode_of_the_umask(writer, mask, tmp_path):
    before = os.umask(mask)
    try:
        WRITERS[writer](str(tmp_path / "a"))
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o664, 0o700, 0o604])
def test_an_old_file_keeps_its_mode_and_nobody_else_reads_meanwhile(mode, tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(mode)
    with replaced(target) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 & ~mode & 0o077 == 0
        file.write(b"new")
    assert target.stat().st_mode & 0o777 == mode
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("links", [1, 2, 5])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(links, there, tmp_path):
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "a.html"
    if there:
        real.write_bytes(b"old")
    last = real
    for k in range(links):
        (tmp_path / f"{k}.html").symlink_to(last)
        last = tmp_path / f"{k}.html"
    assert write_text("new", last, suffix=".html") == real
    assert real.read_text() == "new"
    assert all((tmp_path / f"{k}.html").is_symlink() for k in range(links))
    assert entries(tmp_path / "real") == ["a.html"]


def test_leftovers_of_dead_processes_are_removed_and_no_others(tmp_path):
    host, digits = _files._host(), "0123456789ab"
    gone = [
        f".cellflow-{host}-{number}-{digits}.tmp"
        for number in (dead_process(), os.getpid(), 10**12)
    ]
    kept = [
        f".cellflow-{host}-{os.getppid()}-{digits}.tmp",
        f".cellflow-00000000-{dead_process()}-{digits}.tmp",
        f".cellflow-{digits}.tmp",
        f"cellflow-{host}-1-{digits}.tmp",
        "thesis.tmp",
    ]
    for name in gone + kept:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / f".cellflow-{host}-{dead_process()}-{'f' * 12}.tmp").mkdir()
    with replaced(tmp_path / "a") as file:
        remove_leftovers(tmp_path)  # as another thread may at any time
        file.write(b"new")
    assert entries(tmp_path) == sorted([*kept, "a"])


def test_a_folder_that_cannot_be_listed_is_written(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    original = os.open
    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *a, **k: refuse(path) if Path(path).is_dir() else original(path, *a, **k),
    )
    write_h5ad(CELLS, tmp_path / "a.h5ad")
    monkeypatch.undo()
    assert entries(tmp_path) == ["a.h5ad"]


def test_a_folder_that_stays_locked_is_an_output_error(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "_WAITS", 3)
    second = _files.folder_lock(tmp_path)
    with _files.folder_lock(tmp_path), pytest.raises(OutputError, match="another process"):
        second.__enter__()
    with _files.folder_lock(tmp_path):
        assert tmp_path.is_dir()


def test_the_lock_of_a_folder_is_for_one_at_a_time(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    inside, most = [], []

    def work(k):
        with _files.folder_lock(tmp_path):
            inside.append(k)
            most.append(len(inside))
            inside.remove(k)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(50)))
    assert max(most) == 1
