"""`import cellflow` is light, quick and offline, and does not take its namesake for itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cellflow as cf
from cellflow.core._namesake import refuse_namesake
from cellflow.errors import CellFlowWarning, SetupError

#: Seconds that the import may add to a bare interpreter, and that the whole of `cellflow --help`
#: may take.
BUDGET = 0.3


def seconds(*arguments: str) -> float:
    """Run Python with `arguments`; the best of five, since a busy machine is not the package's
    fault.
    """
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_import_is_quick() -> None:
    assert seconds("-c", "import cellflow") - seconds("-c", "pass") < BUDGET


def test_p11_help_is_quick() -> None:
    assert seconds("-m", "cellflow", "--help") < BUDGET


def test_every_name_of_the_face_is_there() -> None:
    assert dir(cf) == cf.__all__
    assert [name for name in cf.__all__ if getattr(cf, name) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'tll'"):
        cf.tll  # noqa: B018 (the access is the test)


@pytest.mark.parametrize(
    "first",
    [
        "import cellflow.model.flow, cellflow.tl",
        "from cellflow import tl, get, pl, recipes",
        "pass",
    ],
)
def test_fit_is_a_function_whatever_was_imported_before(first: str) -> None:
    code = (
        f"{first}\nimport cellflow as cf\nassert callable(cf.fit) and cf.fit.__name__ == 'fit',"
        " cf.fit\ncf.Flow.load"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("family", ["bench", "pl", "tl", "pp"])
def test_functions_are_not_hidden_behind_modules_of_their_name(family: str) -> None:
    space = getattr(cf, family)
    assert all(callable(getattr(space, name)) for name in space.__all__)


def test_p6_no_network_at_import() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
        "import cellflow as cf\n"
        "[getattr(cf, name) for name in cf.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_p8_imports_leave_global_state_alone() -> None:
    code = (
        "import random, warnings, numpy as np, torch\ndef state():\n    return (random.getstate(),"
        " str(np.random.get_state()), torch.get_rng_state().tolist(), list(warnings.filters),\n    "
        "        torch.get_num_threads(), torch.get_default_dtype())\nimport scanpy,"
        " matplotlib.pyplot as plt\nbefore, settings = state(), dict(plt.rcParams)\nimport cellflow"
        " as cf\n[getattr(cf, name) for name in cf.__all__]\nassert state() == before\nassert"
        " dict(plt.rcParams) == settings\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The other package that is imported as `cellflow` -------------------------------------------------


def other_package(folder: Path) -> Path:
    (folder / "cellflow_tools-0.1.0.dist-info").mkdir(parents=True)
    return folder


def test_nothing_is_said_when_it_is_not_there(tmp_path: Path) -> None:
    refuse_namesake(tmp_path, [str(tmp_path), str(tmp_path / "missing"), ""])


def test_mixed_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="pip uninstall cellflow-tools cellflow-trajectory"):
        refuse_namesake(other_package(tmp_path), [str(tmp_path)])


def test_the_other_package_elsewhere_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(CellFlowWarning, match="pip uninstall cellflow-tools"):
        refuse_namesake(tmp_path / "here", [str(other_package(tmp_path / "there"))])


def test_importing_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(other_package(tmp_path))}
    done = subprocess.run(
        [sys.executable, "-c", "import cellflow"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "CellFlowWarning" in done.stderr
    assert "-c:1" in done.stderr.replace("<string>", "-c") or "import cellflow" in done.stderr
