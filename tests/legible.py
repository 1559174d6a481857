"""Whether what a figure says can be read."""

from itertools import combinations

import matplotlib as mpl
from matplotlib.axes import Axes


def texts(figure):
    """What is written; numbers of an axis beyond its limits are not drawn."""
    figure.draw_without_rendering()
    hidden = set()
    for ax in figure.findobj(Axes):
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden |= {tick.label1, tick.label2}
    every = [t for t in figure.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]
    return [text for text in every if text not in hidden]


def words(figure):
    """All that is written."""
    return "\n".join(text.get_text() for text in texts(figure))


def require_inside(figure):
    """No text is cut off at the edge of the figure."""
    for text in texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text


def require_legible(figure):
    """No text is cut off, and none covers another; of horizontal and vertical texts."""
    require_inside(figure)
    straight = [text for text in texts(figure) if text.get_rotation() % 90.0 == 0.0]
    boxes = [(text.get_text(), text.get_window_extent()) for text in straight]
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, up) <= 1, (one, other)
