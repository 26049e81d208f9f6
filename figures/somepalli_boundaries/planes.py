"""Somepalli et al. 2022: planes through three images, coloured by the class that a network predicts.

A class has a colour, faded to white as the softmax confidence falls; a line separates classes. Circles mark
the three images, a cross one whose label in training was wrong. In the paper's own style no line separates
classes, those of double descent are flat, and the images are a circle, a triangle and a cross.
"""

import contextlib
import contextvars
import dataclasses

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Patch

from figures.style import BLACK, GREY
from replications.somepalli_boundaries.published import CLASSES

PAPER = "Somepalli et al. 2022"
# The class colours differ by at least 41 (CIE 1976) in normal sight and by 24 with either kind of red-green
# or with blue-yellow blindness, simulated as by Machado et al. 2009, and stand out from white.
CLASS_COLORS = {
    "airplane": "#4ACBF8",
    "automobile": "#CF1A0B",
    "bird": "#E5BB08",
    "cat": "#BD5DFE",
    "deer": "#72190E",
    "dog": "#F77994",
    "frog": "#0D754C",
    "horse": "#E30D9B",
    "ship": "#332288",
    "truck": "#8AC05A",
}
COLORS = np.array([to_rgb(color) for color in CLASS_COLORS.values()])
_PAPER_MARKS = ("o", "^", "X")
_FLAT = 0.5  # opacity of the released double-descent pictures
_is_paper_style = contextvars.ContextVar("is_paper_style", default=False)
# Every line is drawn twice, once for either class.
_BOUNDARY = {"colors": BLACK, "linewidths": 0.5, "alpha": 0.5}


@contextlib.contextmanager
def paper_style():
    """Planes are drawn as in the paper."""
    token = _is_paper_style.set(True)
    try:
        yield
    finally:
        _is_paper_style.reset(token)


@dataclasses.dataclass(frozen=True)
class Plane:
    """A picture of a record.

    Args:
        classes: uint8 (resolution, resolution), first axis along the first direction.
        confidences: The same, in 255ths.
        window: Limits: low and high of both axes.
        coordinates: (3, 2), where the images are.
        images: uint8 (3, height, width, channels).
        labels: The labels that the network was given, -1 for images that are no data.
        true_labels: Their true ones.
        name: Its figure, and place in it.
    """

    classes: np.ndarray
    confidences: np.ndarray
    window: np.ndarray
    coordinates: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    name: str = ""


def plane(run, name):
    """Returns the `Plane` of a run by the name of its picture."""
    arrays = run.arrays
    (place,) = np.flatnonzero(arrays["picture_names"] == name)
    names = ("classes", "confidences", "windows", "coordinates", "images", "labels", "true_labels")
    return Plane(*(arrays[f"picture_{part}"][place] for part in names), name)


def picture_names(run, prefix=""):
    """The names of a run's pictures that begin with a prefix."""
    return [str(name) for name in run.arrays["picture_names"] if str(name).startswith(prefix)]


def _is_flat(name):
    """Whether a picture has one opacity everywhere, as the released ones of double descent."""
    return _is_paper_style.get() and name[:1] in ("7", "8", "9")


def paint(shown):
    """Colours of the points of a plane: (resolution, resolution, 3), rows along the second direction."""
    confidence = shown.confidences.T[..., None] / 255
    if _is_flat(shown.name):
        confidence = np.full_like(confidence, _FLAT)
    return confidence * COLORS[shown.classes.T % len(COLORS)] + (1 - confidence)


def draw_plane(panel, shown):
    """Draws a plane into a panel, without axes.

    Args:
        panel: matplotlib Axes.
        shown: `Plane`.
    """
    rows, columns = shown.classes.shape
    c1, c2 = np.linspace(*shown.window[:2], rows), np.linspace(*shown.window[2:], columns)
    # A point is drawn as the cell around it.
    margin = np.repeat([c1[1] - c1[0], c2[1] - c2[0]], 2) / 2 * (-1, 1, -1, 1)
    panel.imshow(paint(shown), extent=shown.window + margin, origin="lower", interpolation="nearest")
    classes = shown.classes.T
    for label in () if _is_paper_style.get() else np.unique(classes):
        mask = classes == label
        if not mask.all():
            panel.contour(c1, c2, mask.astype(float), [0.5], **_BOUNDARY)
    _mark_images(panel, shown)
    panel.set(xticks=[], yticks=[], xlim=shown.window[:2], ylim=shown.window[2:], aspect="equal")
    panel.grid(False)
    panel.spines[:].set(visible=True, color=BLACK, linewidth=0.6)


def _mark_images(panel, shown):
    noisy = shown.labels != shown.true_labels
    for (x, y), is_noisy, mark in zip(shown.coordinates, noisy, _PAPER_MARKS, strict=True):
        marker, size = ("X", 6.5) if is_noisy else ("o", 4)
        if _is_paper_style.get():
            marker, size = mark, 5.5
        panel.plot(x, y, marker, color="white", markersize=size, markeredgecolor=BLACK, markeredgewidth=0.8)


def draw_key(panel, shown, zoom=0.85, names=CLASSES):
    """Draws the three images of a plane where they lie on it, with the names of their classes.

    A name that all three share stands once, at the highest.

    Args:
        panel: matplotlib Axes.
        shown: `Plane`.
        zoom: Size of an image.
        names: The classes' names.
    """
    window, (width, height) = shown.window, np.diff(shown.window)[[0, 2]]
    panel.plot(*shown.coordinates[[0, 1, 2, 0]].T, color=GREY, linewidth=0.8, zorder=1)
    is_shared = len(set(shown.true_labels)) == 1
    highest = shown.coordinates[:, 1].argmax()
    for number, ((x, y), image, label, true) in enumerate(
        zip(shown.coordinates, shown.images, shown.labels, shown.true_labels, strict=True)
    ):
        color = COLORS[true] if true >= 0 else GREY
        frame = {"edgecolor": color, "linewidth": 2.2, "boxstyle": "square,pad=0.08"}
        picture = OffsetImage(image, zoom=zoom, interpolation="nearest")
        panel.add_artist(AnnotationBbox(picture, (x, y), pad=0.1, bboxprops=frame))
        if true >= 0 and (not is_shared or number == highest or label != true):
            text = names[true] + (f"\ngiven as {names[label]}" if label != true else "")
            offset = (0, 19 if y > window[2] + height / 2 else -19)
            panel.annotate(
                text,
                (x, y),
                offset,
                textcoords="offset points",
                ha="center",
                va="bottom" if offset[1] > 0 else "top",
                fontsize=7,
            )
    panel.set(
        xlim=(window[0] - 0.1 * width, window[1] + 0.1 * width),
        ylim=(window[2] - 0.1 * height, window[3] + 0.1 * height),
        aspect="equal",
    )
    panel.set_axis_off()


def class_handles(name=""):
    """Legend entries of the classes, in the colours of the picture of a name."""
    opacity = _FLAT if _is_flat(name) else None
    return [Patch(facecolor=color, label=name, alpha=opacity) for name, color in CLASS_COLORS.items()]


def mark_handles(noisy=False):
    """Legend entries of the marks."""
    mark = {"color": "white", "markeredgecolor": BLACK, "linestyle": "none"}
    if _is_paper_style.get():
        words = zip(_PAPER_MARKS, ("first image", "second", "third"), strict=True)
        return [Line2D([], [], marker=marker, markersize=5.5, label=label, **mark) for marker, label in words]
    handles = [Line2D([], [], marker="o", markersize=4, label="one of the three images", **mark)]
    if noisy:
        handles.append(Line2D([], [], marker="X", markersize=6.5, label="wrong label in training", **mark))
    return handles


def add_legend(figure, name="", noisy=False):
    """Puts classes and marks of the pictures of a name below the panels."""
    handles = class_handles(name) + mark_handles(noisy)
    figure.legend(handles=handles, loc="outside lower center", ncols=6, columnspacing=1.0, handlelength=1.2)
