"""Colours of categories: scanpy's defaults, those in `uns`, those of an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning, closest

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.colors import Colormap

__all__ = [
    "OKABE_ITO",
    "Palette",
    "Shades",
    "chosen",
    "colormap_of",
    "diverging",
    "hexes",
    "stored",
]

#: What `palette=` accepts: a name, colours in the order of the categories, colours by category.
Palette: TypeAlias = "str | Sequence[str] | Mapping[str, str] | None"
#: A colour for each category, red, green, blue and opacity from 0 to 1.
Shades: TypeAlias = "list[tuple[float, ...]]"

#: Eight colours that readers without colour vision can distinguish (Okabe and Ito). No larger
#: palette has this property.
OKABE_ITO = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#262626",
)
#: The ends and the middle of colours around zero.
_DIVERGING = ("#2d0f5a", "#6f5ba7", "#909090", "#e0a04a", "#ffe08a")
#: Spellings of its name.
_OKABE_ITO = {"okabe_ito", "okabe-ito", "colorblind"}


def diverging() -> Colormap:
    """Colours around zero: purple below, grey at it, orange above.

    The lightness increases from one end to the other, so that the sign is seen in grey too.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("cellflow_diverging", _DIVERGING)


def stored(
    adata: AnnData, color: str, categories: Sequence[Any], present: set[int]
) -> Shades | None:
    """Colours of the categories in `uns["{color}_colors"]`; None where there are none.

    As in scanpy, a list with fewer colours than categories counts as none: it is of other
    categories. A warning says so.

    Raises
    ------
    InputError
        Colours that are none, or a dictionary without some category.
    """
    given: Any = adata.uns.get(f"{color}_colors")
    given = given.tolist() if hasattr(given, "tolist") else given
    if given is None or (isinstance(given, list | tuple | Mapping) and not given):
        return None
    where = f"adata.uns['{color}_colors']"
    if isinstance(given, list | tuple) and len(given) < len(categories):
        msg = (
            f"{where} has {len(given)} colours, but adata.obs[{color!r}] has {len(categories)}"
            " categories. Default colours replace them."
        )
        warn(msg, InputWarning)
        return None
    return _given(given, categories, present, where, "Correct or delete it.")


def chosen(palette: object, categories: Sequence[Any], present: set[int]) -> Shades:
    """Colours of the categories by `palette=`; by default those of scanpy for their number.

    Raises
    ------
    InputError
        An unknown name, too few colours, or colours that are none.
    """
    if palette is None:
        return _default(len(categories))
    if isinstance(palette, str):
        return _named(palette, len(categories))
    return _given(palette, categories, present, "palette=", "Pass another palette=.")


def hexes(shades: Shades) -> list[str]:
    """Colours as scanpy stores them."""
    from matplotlib.colors import to_hex

    return [to_hex(tuple(shade), keep_alpha=shade[3] < 1.0) for shade in shades]  # type: ignore[arg-type]


def _default(n: int) -> Shades:
    """The first `n` colours of scanpy's default palettes, of 20, 28 or 102 colours.

    For more categories scanpy draws all in grey; here they follow a rainbow.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba
    from scanpy.plotting import palettes

    for palette in (palettes.default_20, palettes.default_28, palettes.default_102):
        if n <= len(palette):
            return [to_rgba(shade) for shade in palette[:n]]
    return [tuple(shade) for shade in colormaps["turbo"](np.linspace(0.05, 0.95, n)).tolist()]


def colormap_of(palette: object, default: str) -> str:
    """The colormap that `palette=` names for numbers; lists and dictionaries are for categories.

    Raises
    ------
    InputError
        An unknown name.
    """
    if not isinstance(palette, str) or palette in _OKABE_ITO:
        return default
    _require_colormap(palette)
    return palette


def _require_colormap(name: str) -> None:
    from matplotlib import colormaps

    if name not in colormaps:
        hint = closest(name, [*colormaps, *sorted(_OKABE_ITO)])
        msg = (
            f"palette={name!r} is no colormap of matplotlib{hint}. Expected one, such as 'tab20',"
            " 'okabe_ito', a list of colours, or a dictionary from category to colour."
        )
        raise InputError(msg)


def _named(name: str, n: int) -> Shades:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if name in _OKABE_ITO:
        if n > len(OKABE_ITO):
            msg = (
                f"palette={name!r} has {len(OKABE_ITO)} colours for {n} categories. Expected a"
                " palette with more; leave palette= out for scanpy's default colours."
            )
            raise InputError(msg)
        return [to_rgba(shade) for shade in OKABE_ITO[:n]]
    _require_colormap(name)
    # Spread over the colormap, as scanpy does.
    return [tuple(shade) for shade in colormaps[name](np.linspace(0.0, 1.0, n)).tolist()]


def _given(
    given: object, categories: Sequence[Any], present: set[int], where: str, remedy: str
) -> Shades:
    """The user's colours, one for each category; those of categories without cells are ignored."""
    remedy = (
        f"Expected a list with one colour for each of the {len(categories)} categories, or a"
        f" dictionary from category to colour. {remedy}"
    )
    if isinstance(given, Mapping):
        by_name = {str(name): shade for name, shade in given.items()}
        lacking = [str(categories[k]) for k in sorted(present) if str(categories[k]) not in by_name]
        if lacking:
            msg = f"{where} has no colour for {lacking[:5]}. {remedy}"
            raise InputError(msg)
        colours = [by_name.get(str(name)) for name in categories]
    elif isinstance(given, list | tuple | np.ndarray):
        colours = list(given)
        if len(colours) < len(categories):
            msg = f"{where} has {len(colours)} colours. {remedy}"
            raise InputError(msg)
    else:
        msg = f"{where} is {given!r}. {remedy}"
        raise InputError(msg)
    return [
        _rgba(colours[k], categories[k], where, remedy) if k in present else _loosely(colours[k])
        for k in range(len(categories))
    ]


def _loosely(shade: object) -> tuple[float, ...]:
    """Colour of a category without cells; grey where it is none."""
    from matplotlib.colors import is_color_like, to_rgba

    return to_rgba(shade if is_color_like(shade) else "lightgray")  # type: ignore[arg-type]


def _rgba(shade: Any, name: object, where: str, remedy: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgba

    try:
        return to_rgba(shade)
    except (TypeError, ValueError) as cause:
        msg = f"{where} has {shade!r} for {name!r}, which is no colour of matplotlib. {remedy}"
        raise InputError(msg) from cause
