"""Stored models: looked at value by value before anything is built, and whole at every instant."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from cellflow import recipes
from cellflow.core._sealed import canonical, sha256
from cellflow.core.decoder import Decoder
from cellflow.core.population import Snapshots
from cellflow.densities import MaximumLikelihood, NormalizingFlow, fit_density, from_state
from cellflow.errors import InputTypeError, ModelFileError, OutputError
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow
from cellflow.training import Training


def learned(seed=0):
    rng = np.random.default_rng(seed)
    cells = Snapshots.from_arrays(rng.normal(size=(90, 3)), np.repeat([0.0, 1.0, 3.0], 30))
    return fit(cells, recipes.ot_cfm(training=Training(steps=3)), random_state=seed)


@pytest.fixture(scope="module")
def flow():
    return learned().with_decoder(
        Decoder(np.zeros(2), np.ones((2, 3)), np.array(["A", "B"]), "loadings", 0.5)
    )


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    cells = Snapshots.from_arrays(rng.normal(size=(90, 3)), np.repeat([0.0, 1.0, 3.0], 30))
    recipe = recipes.ot_cfm(training=Training(steps=3)).with_score(
        recipes.MLP, training=Training(steps=3)
    )
    return fit(cells, recipe)


def changed(config, path, value):
    """A copy of a configuration with one entry replaced; `...` removes it."""
    new = json.loads(json.dumps(config))
    *parents, last = path.split(".")
    place = new
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return new


CONFIG = [
    *[("format", v) for v in (None, "2", 0, -1, 1.5, True, ...)],
    *[("n_dims", v) for v in (0, -1, 2, 4, 10**9, 3.0, "3", None, ...)],
    *[("clock", v) for v in (None, [], {}, 3, ...)],
    *[("clock.unit", v) for v in (0.0, -1.0, float("nan"), float("inf"), "1", None, 10**400, ...)],
    *[("clock.stop", v) for v in (0.0, -5.0, None)],
    *[("recipe", v) for v in (None, "ot-cfm", [], ...)],
    *[("recipe.name", v) for v in (None, 3, ...)],
    *[("recipe.path", v) for v in (None, "Linear", ...)],
    *[
        ("recipe.heads.velocity.network", v)
        for v in (None, {}, {"type": 3}, {"type": "os.system"}, [], ...)
    ],
    *[
        ("recipe.heads.velocity.network.width", v)
        for v in (0, -1, 10**8, 10**18, 64, "wide", None, {})
    ],
    *[("recipe.heads.velocity.network.depth", v) for v in (0, -1, 10**9, 2, 1.5)],
    ("recipe.heads.velocity.network.activation", "system"),
    *[("recipe.heads", v) for v in (None, {}, [], "velocity", {"velocity": 3}, ...)],
    *[("recipe.heads.velocity", v) for v in (None, [], ...)],
    ("recipe.heads.velocity.along", 3),
    *[
        ("recipe.heads.velocity.network", {"type": name, "class": path})
        for name, path in (
            ("system", "os:system"),
            ("Popen", "subprocess:Popen"),
            ("MLP", "json:loads"),
            ("Linear", "a.module.that.nobody.imported:Linear"),
            ("Module", "torch:nn.Module"),
            ("x", 3),
        )
    ],
    *[("generates", v) for v in (None, 1, "yes")],
    *[("device", v) for v in (None, 3)],
    ("recipe.heads.velocity.network.unknown", 1),
    *[("sigma", v) for v in (-1.0, float("nan"), "0", None, ...)],
    *[("n_context", v) for v in (-1, 1, 10**12, "0", 0.5)],
    *[("plans", v) for v in (None, [], {"0.0_to_1.0": 3}, ...)],
    *[("seed", v) for v in (None, -1, 0.5, "0", ...)],
    *[("threads", v) for v in (0, None, "all", ...)],
    *[("seconds", v) for v in (None, "1", float("nan"), ...)],
    *[("version", v) for v in (None, 1, ...)],
    *[("decoder", v) for v in ([], "x", {}, ...)],
    *[("decoder.genes", v) for v in (None, ["A"], [1, 2], "AB", ["A", "B", "C"])],
]
ARRAYS = [
    *[
        ("times", v)
        for v in (
            [0.0, np.nan, 3.0],
            [3.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
            [],
            1.0,
            [[0.0, 1.0]],
            ["a", "b"],
        )
    ],
    *[
        ("frame.scale", v)
        for v in (
            [1.0, 0.0, 1.0],
            [1.0, -1.0, 1.0],
            [1.0],
            [],
            [1.0, np.inf, 1.0],
            [[1.0, 1.0, 1.0]],
        )
    ],
    *[("frame.shift", v) for v in ([np.nan] * 3, [1.0], [], np.ones((3, 1)), [None] * 3)],
    ("decoder.mean", [0.0]),
    ("decoder.loadings", np.ones((3, 2))),
    ("decoder.loadings", np.full((2, 3), np.nan)),
    ("dynamics.more", [1.0]),
    ("history.loss", np.array(["a"])),
]
WEIGHT = "dynamics.velocity.net.0.weight"


@pytest.mark.parametrize(("path", "value"), CONFIG, ids=str)
def test_every_value_of_the_configuration_is_looked_at(flow, path, value):
    config, arrays = flow.state()
    with pytest.raises(ModelFileError):
        Flow.from_state(changed(config, path, value), arrays)


@pytest.mark.parametrize(("name", "value"), ARRAYS, ids=str)
def test_every_array_is_looked_at(flow, name, value):
    config, arrays = flow.state()
    with pytest.raises(ModelFileError, match=f"{name.partition('.')[0]}|n_dims"):
        Flow.from_state(config, arrays | {name: np.asarray(value)})


DAMAGE = {
    "nan": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a).astype(a.dtype),
    "inf": lambda a: np.full_like(a, np.inf),
    "transposed": lambda a: np.ones((*a.shape[::-1], 2)),
    "flat": lambda a: np.ones(a.size + 1),
    "empty": lambda a: a[:0],
    "integers": lambda a: np.ones(a.shape, dtype=np.int64),
    "text": lambda a: np.full(a.shape, "1"),
    "objects": lambda a: np.full(a.shape, None),
    "complex": lambda a: a.astype(complex),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_weight_is_looked_at(scored, damage):
    config, arrays = scored.state()
    for name in arrays:
        if name.startswith("dynamics."):
            with pytest.raises(ModelFileError):
                Flow.from_state(config, arrays | {name: DAMAGE[damage](arrays[name])})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ladder", 3),
        ("ladder", {}),
        ("ladder.levels", [1.0]),
        ("ladder.levels", [1.0, 2.0]),
        ("ladder.levels", [1.0, -1.0]),
        ("ladder.levels", ["a", "b"]),
        ("ladder.levels", None),
        ("recipe.heads.score.network", None),
        ("recipe.heads.score.network.width", 10**9),
    ],
)
def test_a_score_is_looked_at(scored, name, value):
    config, arrays = scored.state()
    with pytest.raises(ModelFileError):
        Flow.from_state(changed(config, name, value), arrays)


@pytest.mark.parametrize("given", [None, 3, "x", [], {"config": 1}])
def test_what_is_no_state(flow, given):
    config, arrays = flow.state()
    with pytest.raises(ModelFileError):
        Flow.from_state(given, arrays)
    with pytest.raises(ModelFileError):
        Flow.from_state(config, given)


def test_no_size_is_believed_before_it_is_compared(flow):
    config, arrays = flow.state()
    tracemalloc.start()
    for path in (
        "n_dims",
        "n_context",
        "recipe.heads.velocity.network.width",
        "recipe.heads.velocity.network.depth",
        "recipe.heads.velocity.network.n_frequencies",
    ):
        with pytest.raises(ModelFileError):
            Flow.from_state(changed(config, path, 10**7), arrays)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_a_model_does_not_share_memory_with_what_it_was_made_from(flow):
    config, arrays = flow.state()
    again = Flow.from_state(config, arrays)
    before = again.velocity(np.ones((2, 3)), 0.5)
    for array in arrays.values():
        array[...] = 0
    np.testing.assert_array_equal(again.velocity(np.ones((2, 3)), 0.5), before)


# Densities ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def density():
    return fit_density(
        np.random.default_rng(0).normal(size=(60, 2)), training=MaximumLikelihood(steps=3)
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("dim", v) for v in (0, 1, 3, 10**9, "2", None, ...)],
        *[("n_context", v) for v in (-1, 1, 10**9, None, ...)],
        *[("options.transforms", v) for v in (0, 1, 10**9, "3")],
        *[("options.hidden", v) for v in ([10**9], [64, 10**6], ["a"], None, [3, 3])],
        *[("options.bins", v) for v in (1, 10**9, 4, None)],
        ("options.unknown", 1),
        *[("options", v) for v in (None, [], ...)],
        *[("type", v) for v in (None, "Oracle", 3, ...)],
    ],
    ids=str,
)
def test_every_value_of_a_density_is_looked_at(density, path, value):
    config, arrays = density.state()
    with pytest.raises(ModelFileError):
        from_state(changed(config, path, value), arrays)


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_array_of_a_density_is_looked_at(density, damage):
    config, arrays = density.state()
    assert isinstance(density, NormalizingFlow)
    for name in [
        name
        for name in arrays
        if not name.startswith("history.") and arrays[name].dtype.kind == "f"
    ]:
        if arrays[name].size:
            with pytest.raises(ModelFileError):
                from_state(config, arrays | {name: DAMAGE[damage](arrays[name])})


@pytest.mark.parametrize("method", ["gmm", "kde"])
@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "integers"])
def test_every_array_of_a_reference_is_looked_at(method, damage):
    config, arrays = fit_density(
        np.random.default_rng(0).normal(size=(60, 2)), method=method
    ).state()
    for name in arrays:
        with pytest.raises(ModelFileError):
            from_state(config, arrays | {name: DAMAGE[damage](arrays[name])})


# Files --------------------------------------------------------------------------------------------


def of_torch(**tensors):
    import torch
    from safetensors.torch import save

    return save(
        {name: torch.zeros(2, dtype=getattr(torch, kind)) for name, kind in tensors.items()}
    )


def header(text: bytes, content: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + content


BLOBS = {
    "empty": b"",
    "pickle": b"\x80\x04K\x01.",
    "html": b"<html>404</html>",
    "a huge header": b"\xff" * 8 + b"{}",
    "no JSON": header(b"{{{"),
    "a huge shape": header(
        b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}', bytes(4)
    ),
    "an overflowing shape": header(
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}', bytes(4)
    ),
    "overlaps": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "beyond the end": header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(4)),
    "backwards": header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', bytes(4)),
    "an unknown type": header(b'{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "bfloat16": of_torch(a="bfloat16"),
    "float8": of_torch(a="float8_e4m3fn"),
    "other arrays": of_torch(a="float32"),
    "truncated": None,
}


@pytest.mark.parametrize("case", BLOBS)
def test_arrays_of_a_file_with_the_right_checksum(flow, case, tmp_path):
    flow.save(tmp_path)
    file = tmp_path / "flow.safetensors"
    blob = file.read_bytes()[:-40] if BLOBS[case] is None else BLOBS[case]
    file.write_bytes(blob)
    config = flow.state()[0]
    seal = {
        "config": config,
        "sha256": {file.name: sha256(blob), "config": sha256(canonical(config))},
    }
    (tmp_path / "flow.json").write_text(json.dumps(seal))
    with pytest.raises(ModelFileError, match=r"flow\.safetensors|do not fit together"):
        Flow.load(tmp_path)


TEXTS = {
    "nothing": b"",
    "html": b"<html>404</html>",
    "no object": b"[]",
    "a number": b"3",
    "no configuration": b'{"sha256": {}}',
    "no checksums": b'{"config": {}, "sha256": null}',
    "checksums of another kind": b'{"config": {}, "sha256": [1]}',
    "a checksum missing": b'{"config": {}, "sha256": {"config": "a"}}',
    "deep": b"[" * 200_000,
    "deep inside": b'{"config": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b', "sha256": {}}',
    "a number of 5000 digits": b'{"config": ' + b"1" * 5000 + b"}",
    "not UTF-8": b'{"config": "\xff\xfe"}',
    "truncated": None,
}


@pytest.mark.parametrize("case", TEXTS)
def test_configurations_that_are_none(flow, case, tmp_path):
    flow.save(tmp_path)
    file = tmp_path / "flow.json"
    file.write_bytes(file.read_bytes()[:-40] if TEXTS[case] is None else TEXTS[case])
    with pytest.raises(ModelFileError, match=r"flow\.json"):
        Flow.load(tmp_path)


@pytest.mark.parametrize("name", ["flow.json", "flow.safetensors"])
def test_every_changed_bit_is_noticed(flow, name, tmp_path):
    flow.save(tmp_path)
    file, state = tmp_path / name, flow.state()[0]
    content = file.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 300)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(bytes(damaged))
        with suppress(ModelFileError):
            again = Flow.load(tmp_path)
            # Another kind of space between two entries.
            assert again.state()[0] == state
            assert name == "flow.json"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["flow.json", "flow.safetensors"])
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop"])
def test_something_else_in_the_place_of_a_file(flow, name, kind, tmp_path):
    flow.save(tmp_path)
    file = tmp_path / name
    file.unlink()
    make = {
        "folder": file.mkdir,
        "pipe": lambda: os.mkfifo(file),
        "loop": lambda: file.symlink_to(file),
    }
    make.get(kind, lambda: None)()
    with pytest.raises(ModelFileError, match="does not hold a saved flow"):
        Flow.load(tmp_path)


@pytest.mark.parametrize("folder", [3, None, b"x", ["a"], np.array("a")])
def test_a_folder_that_is_no_path(flow, folder):
    for ask in (flow.save, Flow.load):
        with pytest.raises(InputTypeError, match="folder="):
            ask(folder)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("place", ["file/flow", "x" * 300, "a\0b", "loop", "loop/flow", "dangling"])
def test_places_where_no_model_can_be_saved(flow, place, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError):
        flow.save(tmp_path / place)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_saving_again_keeps_modes_links_and_names(flow, mode, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(3):
        flow.save(tmp_path / "link")
        assert sorted(p.name for p in (tmp_path / "real").iterdir()) == [
            "flow.json",
            "flow.safetensors",
        ]
        assert all(p.stat().st_mode & 0o777 in (mode, 0o644) for p in (tmp_path / "real").iterdir())
        for file in (tmp_path / "real").iterdir():
            file.chmod(mode)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_stopped_at_any_step_a_model_is_old_or_new_and_whole(tmp_path):
    """Killed at every call of the system that changes a file, in a process of its own."""
    code = """
    import os, pathlib, shutil, sys
    import numpy as np
    import cellflow as cf
    from cellflow import recipes
    from cellflow.training import Training
    x = np.random.default_rng(0).normal(size=(60, 2))
    cells = cf.Snapshots.from_arrays(x, np.repeat([0.0, 1.0], 30))
    recipe = recipes.ot_cfm(training=Training(steps=3))
    old, new = (cf.fit(cells, recipe, random_state=k) for k in (0, 1))
    STEPS = ("replace", "fsync", "unlink", "close")
    left = 0
    def stopping(step):
        def stopped(*given, **options):
            global left
            left -= 1
            if left == 0:
                os._exit(9)
            return step(*given, **options)
        return stopped
    found = []
    folder = pathlib.Path(sys.argv[1])
    for k in range(1, 60):
        old.save(folder)
        child = os.fork()
        if child == 0:
            left = k
            for name in STEPS:
                setattr(os, name, stopping(getattr(os, name)))
            new.save(folder)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append((cf.Flow.load(folder).seed, code))
        if code == 0:
            break
    seeds = [seed for seed, _ in found]
    assert seeds == sorted(seeds) and set(seeds) == {0, 1} and len(found) > 8, found
    old.save(folder)
    assert sorted(os.listdir(folder)) == ["flow.json", "flow.safetensors"], os.listdir(folder)
    print("done")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path / "flow")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["flow"]


@pytest.mark.skipif(os.name != "posix", reason="the steps are those of POSIX")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_at_any_step_a_model_is_old_or_new_and_whole(
    flow, when, error, tmp_path, monkeypatch
):
    new, seeds, steps = learned(1), [], ("replace", "fsync", "unlink", "chmod")
    originals = {name: getattr(os, name) for name in steps}
    for k in range(1, 60):
        flow.save(tmp_path)
        count = iter(range(k - 1, -1, -1))

        def stopping(step, count=count):
            def stopped(*given, **options):
                left = next(count, -1)
                if left == 0 and when == "before":
                    raise error
                try:
                    return step(*given, **options)
                finally:
                    if left == 0:
                        raise error

            return stopped

        with monkeypatch.context() as patched:
            for name in steps:
                patched.setattr(os, name, stopping(originals[name]))
            try:
                new.save(tmp_path)
            except error:
                seeds.append(Flow.load(tmp_path).seed)
            else:
                break
    assert (set(seeds), seeds) == ({0, 1}, sorted(seeds))
    assert Flow.load(tmp_path).seed == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flow.json", "flow.safetensors"]


def test_models_saved_and_loaded_at_once_are_whole(tmp_path):
    flows = [learned(0), learned(1)]
    flows[0].save(tmp_path / "flow")
    problems = []

    def work(job):
        try:
            for _ in range(8):
                job()
        except Exception as error:  # noqa: BLE001 (shown below)
            problems.append(error)

    jobs = [lambda: flows[0].save(tmp_path / "flow"), lambda: flows[1].save(tmp_path / "flow")]
    jobs += 2 * [lambda: Flow.load(tmp_path / "flow")]
    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert sorted(p.name for p in (tmp_path / "flow").iterdir()) == [
        "flow.json",
        "flow.safetensors",
    ]


def test_a_configuration_in_an_anndata_passes_the_same_check(fitted):
    """Arrays inside an h5ad with the right checksum."""
    import cellflow as cf
    from cellflow.adapter.store import sealed

    config, arrays = cf.get.flow(fitted).state()
    fitted.uns["cellflow"]["model"] = sealed(
        config, arrays | {"frame.scale": arrays["frame.scale"] * 0}
    )
    with pytest.raises(ModelFileError, match=r"frame\.scale"):
        cf.tl.velocity(fitted)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "null", '{"format": 2}'], ids=range(5))
def test_a_configuration_with_a_checksum_made_for_it(fitted, text):
    import cellflow as cf
    from cellflow.adapter import store

    model = dict(fitted.uns["cellflow"]["model"])
    arrays = {name: np.asarray(value) for name, value in model["arrays"].items()}
    fitted.uns["cellflow"]["model"] = model | {
        "config": text,
        "checksum": store._checksum(text, arrays),
    }
    with pytest.raises(ModelFileError):
        cf.tl.velocity(fitted)
