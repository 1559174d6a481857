"""The readers on small files of the published layouts; the download against a server of our own."""

import hashlib
import io
import pickle
import re
import struct
import threading
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellflow.datasets import _download as module
from cellflow.datasets import _published, cite, embryoid_body, larry, multi
from cellflow.errors import InputError, InputTypeError, MissingDataError, MissingKeyError

SHARED = Path(__file__).parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
loaders = pytest.mark.parametrize(
    "load", [embryoid_body, cite, multi, larry], ids=lambda f: f.__name__
)


def h5ad(path, obs, **obsm):
    n = len(next(iter(obs.values())))
    frame = pd.DataFrame(obs, index=[f"c{i}" for i in range(n)])
    X = sp.random(n, 7, 0.5, format="csr", dtype=np.float32, random_state=0)
    ad.AnnData(
        X, obs=frame, obsm={"X_pca": RNG.standard_normal((n, 4)).astype(np.float32), **obsm}
    ).write_h5ad(path)
    return path


# Layouts ------------------------------------------------------------------------------------------


def test_embryoid_body_npz(tmp_path):
    labels, pcs = np.array([0, 0, 1, 2, 3, 4, 4]), RNG.standard_normal((7, 100))
    np.savez(
        tmp_path / "eb_velocity_v5.npz",
        pcs=pcs,
        sample_labels=labels,
        phate=pcs[:, :2],
        delta_embedding=pcs,
    )
    adata = embryoid_body(path=tmp_path)
    np.testing.assert_array_equal(adata.obsm["X_pca"], pcs)
    np.testing.assert_array_equal(adata.obsm["X_phate"], pcs[:, :2])
    np.testing.assert_array_equal(adata.obs["time"], labels)
    assert adata.obs["time"].dtype == np.float64
    assert adata.obs["day"].tolist()[2] == "Day 06-09"


def test_embryoid_body_h5ad(tmp_path):
    adata = embryoid_body(
        path=h5ad(
            tmp_path / "eb_pca100.h5ad", {"time": [0.0, 1.0, 4.0], "sample_labels": [0, 1, 4]}
        )
    )
    assert adata.obs["time"].tolist() == [0.0, 1.0, 4.0]
    assert adata.obsm["X_pca"].shape == (3, 4)


@pytest.mark.parametrize(
    ("load", "name"), [(cite, "op_cite_inputs_0.h5ad"), (multi, "op_train_multi_targets_0.h5ad")]
)
@pytest.mark.parametrize("kind", ["int64", "category", "str"])
def test_challenge_files(tmp_path, load, name, kind):
    days = pd.Series([2, 7, 3, 4, 2]).astype(kind)
    h5ad(tmp_path / name, {"day": days.to_numpy() if kind != "category" else pd.Categorical(days)})
    adata = load(path=str(tmp_path))
    assert adata.obs["time"].tolist() == [2.0, 7.0, 3.0, 4.0, 2.0]
    assert adata.obs["time_index"].tolist() == [0, 3, 1, 2, 0]
    assert adata.n_vars == 7


def test_larry_file(tmp_path):
    clones = sp.csr_matrix(np.eye(4, 3))
    obs = {"time_info": pd.Categorical(["2", "4", "6", "6"]), "state_info": list("abcd")}
    adata = larry(
        path=h5ad(tmp_path / "any_name.h5ad", obs, X_clone=clones, X_emb=np.zeros((4, 2)))
    )
    assert adata.obs["time"].tolist() == [2.0, 4.0, 6.0, 6.0]
    assert adata.obsm["X_clone"].shape == (4, 3)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not beside the repository")
def test_real_files():
    eb = embryoid_body(path=SHARED / "eb" / "eb_pca100.h5ad")
    assert eb.obs["time"].value_counts().sort_index().tolist() == [2381, 4163, 3278, 3665, 3332]
    fixture = larry(path=SHARED / "larry_cospar" / "test_adata_preprocessed.h5ad")
    assert fixture.obs["time"].value_counts().sort_index().to_dict() == {
        2.0: 34,
        4.0: 316,
        6.0: 431,
    }


# Files that are not what they should be -----------------------------------------------------------


@loaders
def test_a_path_that_is_not_there_says_what_to_download(load, tmp_path):
    for path in (tmp_path / "no.h5ad", tmp_path):
        with pytest.raises(MissingDataError, match=r"Download .* from https://.* and pass path="):
            load(path=path)


@loaders
def test_a_file_of_another_kind_is_refused(load, tmp_path):
    page = tmp_path / "page.h5ad"
    page.write_text("<html>not found</html>")
    with pytest.raises(InputError, match="not an h5ad"):
        load(path=page)


def test_a_missing_key_lists_what_there_is(tmp_path):
    np.savez(tmp_path / "eb_velocity_v5.npz", pcs=np.zeros((2, 3)))
    with pytest.raises(MissingKeyError, match=r"no 'sample_labels'; found \['pcs'\]"):
        embryoid_body(path=tmp_path)
    other = h5ad(tmp_path / "a.h5ad", {"batch": [1, 2]})
    with pytest.raises(MissingKeyError, match=r"no 'day'; found \['batch'\]"):
        cite(path=other)
    with pytest.raises(MissingKeyError, match="no 'X_clone'"):
        larry(path=h5ad(tmp_path / "b.h5ad", {"time_info": ["2", "4"]}))


def test_times_that_are_no_numbers_are_listed(tmp_path):
    with pytest.raises(
        InputError, match=r"obs\['day'\] should hold numbers; found \['2', 'late'\]"
    ):
        multi(path=h5ad(tmp_path / "a.h5ad", {"day": ["2", "late"]}))
    np.savez(tmp_path / "eb_velocity_v5.npz", pcs=np.zeros((2, 3)), sample_labels=np.array([0, 9]))
    with pytest.raises(InputError, match=r"values \[0, 9\]; expected 0 to 4"):
        embryoid_body(path=tmp_path)


def packed(**arrays):
    image = io.BytesIO()
    np.savez(image, **arrays)
    return image.getvalue()


LABELS = np.arange(20) % 5
WHOLE = packed(pcs=np.arange(60.0).reshape(20, 3), sample_labels=LABELS)


def flipped(place):
    content = bytearray(WHOLE)
    content[place] ^= 4
    return bytes(content)


def bomb():
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as archive:
        archive.writestr("pcs.npy", b"")
    content = image.getvalue()
    size = struct.pack("<L", 2**32 - 2)
    directory = content.index(b"PK\x01\x02")
    return content[: directory + 24] + size + content[directory + 28 :]


NPZ = {
    "empty": b"",
    "html": b"<html>404</html>",
    "pickle": pickle.dumps(3),
    "one array": b"\x93NUMPY" + bytes(50),
    "truncated": WHOLE[:-100],
    "first half": WHOLE[: len(WHOLE) // 2],
    "a changed byte of an array": flipped(WHOLE.index(np.arange(60.0)[7:9].tobytes())),
    "a changed byte of a header": flipped(WHOLE.index(b"'shape'") + 2),
    "larger than any": bomb(),
    "objects": packed(pcs=np.full((20, 3), {}), sample_labels=LABELS),
    "labels of objects": packed(pcs=np.ones((20, 3)), sample_labels=np.full(20, None)),
    "text": packed(pcs=np.full((20, 3), "a"), sample_labels=LABELS),
    "complex numbers": packed(pcs=np.ones((20, 3), dtype=complex), sample_labels=LABELS),
    "dates": packed(pcs=np.ones((20, 3), dtype="M8[s]"), sample_labels=LABELS),
    "too few rows": packed(pcs=np.ones((9, 3)), sample_labels=LABELS),
    "too many rows": packed(pcs=np.ones((21, 3)), sample_labels=LABELS),
    "one axis": packed(pcs=np.ones(20), sample_labels=LABELS),
    "three axes": packed(pcs=np.ones((20, 3, 1)), sample_labels=LABELS),
    "no axis": packed(pcs=np.float64(1), sample_labels=LABELS),
    "no columns": packed(pcs=np.ones((20, 0)), sample_labels=LABELS),
    "no rows": packed(pcs=np.ones((0, 3)), sample_labels=LABELS[:0]),
    "labels of two axes": packed(pcs=np.ones((20, 3)), sample_labels=LABELS[:, None]),
    "one label": packed(pcs=np.ones((1, 3)), sample_labels=np.int64(0)),
    "NaN": packed(pcs=np.full((20, 3), np.nan), sample_labels=LABELS),
    "infinite": packed(pcs=np.full((20, 3), np.inf), sample_labels=LABELS),
    "broken labels": packed(pcs=np.ones((20, 3)), sample_labels=LABELS + 0.5),
    "NaN labels": packed(pcs=np.ones((20, 3)), sample_labels=np.full(20, np.nan)),
    "another length of phate": packed(
        pcs=np.ones((20, 3)), sample_labels=LABELS, phate=np.ones((3, 2))
    ),
}


@pytest.mark.parametrize("case", NPZ)
def test_tables_that_are_none_are_refused_by_name(case, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    file = tmp_path / "e.npz"
    file.write_bytes(NPZ[case])
    with pytest.raises(InputError, match=r"e\.npz"):
        embryoid_body(path=file)
    assert embryoid_body(path=written(tmp_path / "whole.npz", WHOLE)).shape[0] == 20


def written(file, content):
    file.write_bytes(content)
    return file


@loaders
@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x89HDF\r\n\x1a\n" + bytes(99), pickle.dumps(3)], ids=range(4)
)
def test_files_that_are_no_h5ad_are_refused_by_name(load, content, tmp_path):
    with pytest.raises(InputError, match=r"a\.h5ad"):
        load(path=written(tmp_path / "a.h5ad", content))


@loaders
def test_another_hdf5_is_refused_by_name(load, tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["x"] = 1
    with pytest.raises((InputError, MissingKeyError), match=r"a\.h5ad"):
        load(path=tmp_path / "a.h5ad")


@loaders
@pytest.mark.parametrize("path", [3, 1.5, b"a.h5ad", ["a"], np.array("a"), True, {}], ids=repr)
def test_what_is_no_path_is_named(load, path):
    with pytest.raises(InputTypeError, match="path="):
        load(path=path)


@loaders
@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "x/" * 3000])
def test_paths_that_cannot_be(load, path):
    with pytest.raises((InputError, MissingDataError)):
        load(path=path)


# The download -------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server on this machine, an empty cache, and no proxy between."""
    import pooch

    content = b"twelve bytes"

    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["User-Agent"])
            if self.path == "/slow":
                time.sleep(1.0)
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked has given up waiting
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    pooch.get_logger().setLevel("WARNING")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}"
        digest = hashlib.sha256(content).hexdigest()
        source = module.Download(
            "file.bin", f"{url}/file", digest, "https://example.org", "12 bytes"
        )
        yield source, url, asked
        httpd.shutdown()
        thread.join()
    pooch.get_logger().setLevel("INFO")


def test_downloads_once(server):
    source, _, asked = server
    for _ in range(2):
        assert module.local_file(source, None).read_bytes() == b"twelve bytes"
    assert len(asked) == 1
    assert asked[0].startswith("Mozilla")


def test_what_cannot_be_had_says_what_to_do(server, monkeypatch):
    source, url, _ = server
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.2)
    wrong = {
        "gone": replace(source, url=f"{url}/gone"),
        "slow": replace(source, url=f"{url}/slow"),
        "refused": replace(source, url="http://127.0.0.1:9/file"),
        "another file": replace(source, sha256="0" * 64),
    }
    for reason, broken in wrong.items():
        with pytest.raises(
            MissingDataError, match=re.escape(f"sha256 {broken.sha256}) from https://example.org")
        ) as caught:
            module.local_file(broken, None)
        assert "path='.../file.bin'" in str(caught.value), reason


def test_ten_seconds_are_enough():
    assert module._TIMEOUT_SECONDS == 10


@pytest.mark.parametrize(
    "source",
    [_published._EB, _published._CITE, _published._MULTI, _published._LARRY],
    ids=lambda s: s.file,
)
def test_sources_are_complete(source):
    assert re.fullmatch("[0-9a-f]{64}", source.sha256)
    assert source.url.startswith("https://")
    assert source.page.startswith("https://")
