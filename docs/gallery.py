"""Make the pictures of the gallery: `python docs/gallery.py --data FOLDER --fits FOLDER`.

Every figure of `cf.pl` is drawn from real cells where they show it, and from simulated ones where
the truth has to be known. The pictures are stored under `docs/pictures`, so that the site is built
without the data. What is drawn is in `gallery_cases.py`, of which fits in `gallery_fits.py`;
`--fits` keeps the fits for the next time.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from gallery_cases import Picture, by_call
from gallery_fits import fitted
from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
#: Resolution of the stored pictures, that of a notebook.
_DPI = 120


def _compact(path: Path) -> None:
    """Store a png with 256 colours, a third of the size."""
    with Image.open(path) as image:
        flat = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    flat.save(path, optimize=True)


def make(picture: Picture, adata: object) -> None:
    """Draw and store one picture."""
    path = PICTURES / f"{picture.name}{picture.suffix}"
    with contextlib.chdir(PICTURES):  # an animation writes its file
        picture.draw(adata)
    if picture.suffix == ".gif":
        return
    plt.gcf().savefig(path, dpi=_DPI, bbox_inches="tight")
    plt.close("all")
    _compact(path)


def main() -> None:
    """Make all pictures, or those whose names are given."""
    mpl.use("agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="pictures; all of them by default")
    parser.add_argument("--data", type=Path, required=True, help="folder of worm_embryo/ and eb/")
    parser.add_argument("--fits", type=Path, required=True, help="folder where fits are kept")
    asked = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    for pictures in by_call().values():
        for picture in pictures:
            if not asked.names or picture.name in asked.names:
                make(picture, fitted(picture.fit, asked.data, asked.fits))
                print(picture.name, flush=True)


if __name__ == "__main__":
    main()
