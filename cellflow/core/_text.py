"""Text of a user, made safe for pages and figures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["clean", "drawable", "font_families"]

#: Replaces every character that cannot be written (U+FFFD).
_REPLACED = "\ufffd"
#: Control characters but for tab and newline, lone surrogates, characters that reorder the text
#: after them, non-characters.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
    r"|["
    + "".join(chr((plane << 16) + end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
#: Longest name in a figure, in characters; a longer one would leave no space for the data.
_LONGEST = 40
#: Every font has the characters below this one.
_LATIN = 0x250
#: A font that draws a frame for any character.
_LAST_RESORT = "Last Resort"


def clean(text: object) -> str:
    r"""Text without characters that no file of text should hold; each is replaced by U+FFFD.

    These are control characters except tab and newline, lone surrogates, non-characters of Unicode,
    and the marks that change the direction of the text after them.

    Examples
    --------
    >>> clean("a\x00b\x1b[31m\udcff"), clean("two\r\nlines")
    ('a�b�[31m�', 'two\nlines')
    """
    return _UNSAFE.sub(_REPLACED, str(text).replace("\r\n", "\n").replace("\r", "\n"))


def drawable(text: object, *, longest: int = _LONGEST) -> str:
    r"""Text that matplotlib draws literally: one line, no mathematics, shortened in its middle.

    Examples
    --------
    >>> drawable("CD4$^+$"), drawable("first\nsecond")
    ('CD4\\$^+\\$', 'first second')
    >>> len(drawable("x" * 300))
    40
    """
    line = " ".join(clean(text).split())
    if len(line) > longest:
        kept = longest - 1
        line = f"{line[: kept - kept // 3]}…{line[-(kept // 3) :]}"
    # A legend leaves out what is empty or begins with an underscore; a space of no width keeps it.
    line = f"\u200b{line}" if not line or line.startswith("_") else line
    return line.replace("$", r"\$")


def font_families(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Fonts for matplotlib that have the characters of `texts`, and the characters without a font.

    The fonts in `rcParams` come first. Other installed fonts that have some of the missing
    characters follow.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    families = list(rcParams["font.family"])
    missing = frozenset(c for text in texts for c in text if ord(c) >= _LATIN and not c.isspace())
    if missing:
        missing -= _found(findfont(FontProperties(family=families)), missing)
    regular = [
        f
        for f in fontManager.ttflist
        if f.style == "normal" and not f.name.startswith(_LAST_RESORT)
    ]
    for font in sorted(regular, key=lambda f: (f.name, str(f.weight))) if missing else ():
        found = _found(font.fname, missing)
        if found and font.name not in families:
            families.append(font.name)
            missing -= found
    return families, missing


@lru_cache(maxsize=4096)
def _found(path: str, wanted: frozenset[str]) -> frozenset[str]:
    """Those of some characters that a font file has; none, if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        known = get_font(path).get_charmap()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return frozenset(character for character in wanted if ord(character) in known)
