"""Pictures of a comparison of models: what each says on one plane, and where they differ most."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style
from figures.somepalli_boundaries.planes import CLASS_COLORS, Plane, draw_key, draw_plane
from figures.style import BLACK

_MOST_COLUMNS = 4
_SLOTS = list(CLASS_COLORS.values())


def class_name(class_names, label):
    """The name of a class, its number where it has none."""
    return class_names[label] if class_names else f"class {label}"


def _slots(classes, labels, num_classes, class_names):
    """A colour for each class: the slot of each class, and the names of the slots in use.

    Of more classes than colours the most frequent ones in the picture have one each, the rest share the last.
    """
    present = np.union1d(np.unique(classes), labels[labels >= 0])
    if num_classes <= len(_SLOTS):
        return np.arange(num_classes), {int(k): class_name(class_names, k) for k in present}
    counts = np.bincount(classes.ravel(), minlength=num_classes)
    counts[labels[labels >= 0]] += classes.size  # those of the examples first
    own = np.argsort(-counts, kind="stable")[: len(_SLOTS) - 1]
    own = own[counts[own] > 0]
    slots = np.full(num_classes, len(_SLOTS) - 1)
    slots[own] = np.arange(len(own))
    names = {place: class_name(class_names, k) for place, k in enumerate(own)}
    if set(present) - set(own):
        names[len(_SLOTS) - 1] = "other classes"
    return slots, names


def figure_plane(picture, titles, numbers, labels, num_classes, class_names=None, images=None):
    """Draws what models say on the plane through three examples, beside these where they are images.

    Args:
        picture: `common.boundaries.Picture`.
        titles: A title for each of its models.
        numbers: The numbers of the three examples.
        labels: Integer array (3,), their classes; -1 where they are not known.
        num_classes: Number of classes.
        class_names: A name for each class, or None.
        images: uint8 (3, height, width, 3), or None.
    """
    slots, names = _slots(picture.classes, labels, num_classes, class_names)
    columns = min(len(titles), _MOST_COLUMNS)
    rows = -(-len(titles) // columns)
    key = images is not None
    axis_u, axis_v = picture.plane.axis_u, picture.plane.axis_v
    ratio = min(max((axis_v[-1] - axis_v[0]) / (axis_u[-1] - axis_u[0]), 0.4), 1.6)
    width = max(2.9 * (columns + key), 6.0)
    title = f"One plane through examples {', '.join(map(str, numbers))}"
    figure = style.new_figure(width, 2.9 * ratio * rows + 1.1, title)
    panels = figure.subplots(rows, columns + key, squeeze=False)
    window = np.array([axis_u[0], axis_u[-1], axis_v[0], axis_v[-1]])
    given = np.where(labels >= 0, slots[np.maximum(labels, 0)], -1)
    pixels = images if key else np.zeros((3, 1, 1, 3), np.uint8)
    for panel in panels.flat:
        panel.set_axis_off()
    for place, (words, classes, confidences) in enumerate(
        zip(titles, picture.classes, picture.confidences, strict=True)
    ):
        alpha = np.round(255 * confidences).astype(np.uint8)
        coordinates = picture.plane.coordinates
        shown = Plane(slots[classes].astype(np.uint8), alpha, window, coordinates, pixels, given, given)
        panel = panels[place // columns, place % columns + key]
        panel.set_axis_on()
        draw_plane(panel, shown)
        panel.set_title(words)
    if key:
        zoom = 0.85 * 32 / max(images.shape[1:3])
        draw_key(panels[0, 0], shown, zoom=zoom, names=[names.get(k, "other") for k in range(len(_SLOTS))])
    _add_legend(figure, names)
    return figure


def _add_legend(figure, names):
    handles = [Patch(facecolor=_SLOTS[slot], label=name) for slot, name in sorted(names.items())]
    mark = {"color": "white", "markeredgecolor": BLACK, "linestyle": "none"}
    handles.append(Line2D([], [], marker="o", markersize=4, label="an example", **mark))
    columns = max(1, int(figure.get_figwidth() / 1.1))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def figure_examples(images, captions):
    """Draws examples in rows of five, with what models say of each above it.

    Args:
        images: uint8 (examples, height, width, 3).
        captions: For each a few lines.
    """
    columns = min(5, len(images))
    rows = -(-len(images) // columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    height = rows * (1.7 + 0.14 * lines) + 0.5
    figure = style.new_figure(2.05 * columns, height, "Examples on which the models differ most")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, image, caption in zip(panels, images, captions, strict=False):
        panel.imshow(image, interpolation="nearest")
        panel.set_title(caption, fontsize=7, loc="left", linespacing=1.25)
    return figure
