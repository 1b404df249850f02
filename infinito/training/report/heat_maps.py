"""Pictures of attention weights: one panel a layer and head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from torch import Tensor

from infinito.storage import written_whole

PANEL_IN = 1.7
"""Inches from one panel to the next."""
LEFT_IN, RIGHT_IN, BOTTOM_IN, TOP_IN = 0.55, 0.75, 0.5, 0.5
"""Inches of margin: the labels of the axes, the colour bar, the title."""
BAR_IN = 0.12
"""Inches that the colour bar is wide."""


def attention_figure(weights: Sequence[Tensor], title: str = "") -> Figure:
    """Return heat maps of the attention of one sequence, a row a layer, a column a head.

    Args:
        weights: For each layer (heads, time, time), rows summing to 1; row = query, column = key.
        title: Printed on top.
    """
    rows, columns = len(weights), len(weights[0])
    width = LEFT_IN + PANEL_IN * columns + RIGHT_IN
    height = BOTTOM_IN + PANEL_IN * rows + TOP_IN
    figure = Figure(figsize=(width, height))
    # Fixed margins: a layout that fits itself takes as long as drawing the figure.
    edges = {
        "left": LEFT_IN / width,
        "right": 1 - RIGHT_IN / width,
        "bottom": BOTTOM_IN / height,
        "top": 1 - TOP_IN / height,
    }
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=True,
        sharey=True,
        gridspec_kw={**edges, "wspace": 0.1, "hspace": 0.2},
    )
    for layer, heads in enumerate(weights):
        for head, matrix in enumerate(heads):
            axis = axes[layer][head]
            image: AxesImage = axis.imshow(
                matrix.detach().float().cpu().numpy() ** 0.5, vmin=0, vmax=1, cmap="magma"
            )
            axis.set_title(f"layer {layer + 1} head {head + 1}", fontsize=7)
            axis.tick_params(labelsize=6)
    place = (edges["right"] + BAR_IN / width, edges["bottom"], BAR_IN / width)
    height_of_bar = edges["top"] - edges["bottom"]
    bar = figure.colorbar(
        image, cax=figure.add_axes((*place, height_of_bar)), ticks=[0, 0.1**0.5, 0.5**0.5, 1]
    )
    bar.ax.set_yticklabels(["0", ".1", ".5", "1"], fontsize=7)
    bar.set_label("weight (root scale)", fontsize=7)
    figure.supxlabel("key position", fontsize=8)
    figure.supylabel("query position", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def draw_pixels(figure: Figure) -> np.ndarray:
    """Return a figure as (height, width, 3) of uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_pixels(pixels: np.ndarray, path: Path) -> None:
    """Write pixels (height, width, 3) of uint8 as a PNG of 256 colours, whole or not at all."""
    picture = Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE)
    with written_whole(path) as file:
        picture.save(file, "png")
