"""What is public: names that `dir` shows, and examples in every docstring."""

from types import ModuleType

import pytest

import cellflow as cf

MODULES = {name: value for name in cf.__all__ if isinstance(value := getattr(cf, name), ModuleType)}


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_public_names_only(name):
    module = MODULES[name]
    assert dir(module) == sorted(module.__all__)
    assert not [shown for shown in dir(module) if shown.startswith("_")]
    assert all(hasattr(module, shown) for shown in dir(module))


def test_dir_of_the_package():
    assert dir(cf) == sorted(cf.__all__)
    assert len(MODULES) > 15
