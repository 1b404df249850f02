"""Pictures of attention weights: one panel a layer and head."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor


def attention_figure(weights: Sequence[Tensor], title: str = "") -> Figure:
    """Return heat maps of the attention of one sequence, a row a layer, a column a head.

    Args:
        weights: For each layer (heads, time, time), rows summing to 1; row = query, column = key.
        title: Printed on top.
    """
    rows, columns = len(weights), len(weights[0])
    figure = Figure(figsize=(1.7 * columns + 0.9, 1.7 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for layer, heads in enumerate(weights):
        for head, matrix in enumerate(heads):
            axis = axes[layer][head]
            image: AxesImage = axis.imshow(
                matrix.detach().float().cpu().numpy() ** 0.5, vmin=0, vmax=1, cmap="magma"
            )
            axis.set_title(f"layer {layer + 1} head {head + 1}", fontsize=7)
            axis.tick_params(labelsize=6)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.1**0.5, 0.5**0.5, 1])
    bar.ax.set_yticklabels(["0", ".1", ".5", "1"], fontsize=7)
    bar.set_label("weight (root scale)", fontsize=7)
    figure.supxlabel("key position", fontsize=8)
    figure.supylabel("query position", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure
