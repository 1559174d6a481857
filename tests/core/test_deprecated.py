"""Old spellings give the result of the new one, with a warning at the line of the caller."""

import inspect
import subprocess
import sys
import warnings

import pytest

from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import Elsewhere, Moved, Renamed, accepts
from cellflow.core._settings import guarded
from cellflow.errors import InputTypeError


def fetch(name: "str", *, colour: "str", size: "int" = 3) -> "tuple":
    return "fetched", name, colour, size


@guarded
@accepts(
    positional=("colour", "size"),
    color=Renamed("colour"),
    big=Moved(
        "size=30",
        lambda value, arguments: arguments | {"size": 30 if value else arguments.get("size", 3)},
    ),
    remote=Elsewhere(
        "fetch(name)",
        lambda *, remote, **arguments: (*fetch(**arguments), remote),
        without=("size",),
    ),
)
def draw(name: "str", *, colour: "str" = "black", size: "int" = 3) -> "tuple":
    """Draw."""
    check_arguments(draw, locals())
    return name, colour, size


def old(*args, match, **kwargs):
    """What a call in an old spelling returns; the warning names this file."""
    with pytest.warns(FutureWarning, match=match) as caught:
        result = draw(*args, **kwargs)
    assert {w.filename for w in caught} == {__file__}
    return result


def test_the_new_spelling_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw("a", colour="red") == ("a", "red", 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "match", "result"),
    [
        (("a",), {"color": "red"}, r"draw\(color=...\) is now draw\(colour=...\)", ("a", "red", 3)),
        ((), {"name": "a", "color": "red"}, "colour=", ("a", "red", 3)),
        (("a", "red"), {}, r"draw\(..., colour\) is now draw\(..., colour=...\)", ("a", "red", 3)),
        (("a", "red", 5), {}, "size=", ("a", "red", 5)),
        (("a",), {"big": True}, r"is now draw\(size=30\)", ("a", "black", 30)),
        (("a",), {"big": False, "size": 7}, "size=30", ("a", "black", 7)),
        (("a", "red"), {"big": True}, "is now", ("a", "red", 30)),
        (
            ("a",),
            {"remote": 1, "colour": "red"},
            r"is now fetch\(name\)",
            ("fetched", "a", "red", 3, 1),
        ),
        (("a",), {"remote": 1, "colour": "red", "size": 9}, "fetch", ("fetched", "a", "red", 3, 1)),
        (("a",), {"remote": None}, "is now fetch", ("a", "black", 3)),
    ],
)
def test_an_old_spelling_gives_the_new_result(args, kwargs, match, result):
    assert old(*args, match=match, **kwargs) == result


def test_both_spellings_at_once_are_refused():
    with pytest.warns(FutureWarning), pytest.raises(InputTypeError, match="Pass colour= only"):
        draw("a", color="red", colour="blue")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("a",), {"shape": 1}),
        (("a", "red", 5, 6), {}),
        (("a", "red"), {"colour": "red"}),
        (("a", "red"), {"shape": 1, "color": "red"}),
    ],
)
def test_what_never_was_a_spelling_is_python_s_type_error(args, kwargs):
    with pytest.raises(TypeError):
        draw(*args, **kwargs)


def test_types_of_old_spellings_are_checked():
    with pytest.warns(FutureWarning), pytest.raises(InputTypeError, match="colour=5"):
        draw("a", color=5)


def test_the_signature_is_the_new_one():
    assert list(inspect.signature(draw).parameters) == ["name", "colour", "size"]
    assert draw.__kwdefaults__ == {"colour": "black", "size": 3}
    assert draw.__annotations__ == {
        "name": "str", "colour": "str", "size": "int", "return": "tuple",
    }  # fmt: skip
    assert draw.__doc__ == "Draw."


def test_its_import_is_light():
    code = (
        "import sys, cellflow.core._deprecated\n"
        "print([m for m in ('numpy', 'torch', 'pandas', 'anndata') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
