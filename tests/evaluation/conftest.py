"""The scripts of `benchmarks/`, as modules."""

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a script by name, as if it were run: its folder is on the path, and forgotten
    afterwards.
    """
    if not SCRIPTS.exists():
        pytest.skip("the benchmark scripts are not part of this copy of the repository")
    monkeypatch.syspath_prepend(SCRIPTS)
    yield importlib.import_module
    for path in SCRIPTS.glob("*.py"):
        sys.modules.pop(path.stem, None)
