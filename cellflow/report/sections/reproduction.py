"""What is needed to repeat the benchmark."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from cellflow.core._version import __version__
from cellflow.report.contents import Contents
from cellflow.report.format import plain
from cellflow.report.markup import Markup, definitions, element, heading

__all__ = ["reproduction"]

#: Packages whose versions are stated.
_PACKAGES = ("numpy", "scipy", "pandas", "anndata", "scanpy", "torch", "POT", "numba")


def reproduction(contents: Contents) -> Iterator[Markup]:
    """Parameters of the benchmark, and versions."""
    params = contents.held.params
    yield heading("To do it again")
    yield element("h3", f"Parameters of the benchmark (adata.uns[{contents.key!r}])")
    yield definitions([(name, plain(value)) for name, value in sorted(params.items())])
    versions = [
        ("cellflow", f"{contents.held.version} (benchmark), {__version__} (report)"),
        ("python", platform.python_version()),
    ]
    for name in _PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    yield element("h3", "Versions")
    yield definitions(versions)
