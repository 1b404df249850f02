"""Heat maps: a panel a layer and head, the query in the row, the root of the weight as colour."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from infinito.training.report.heat_maps import attention_figure

CAUSAL = torch.tensor([[1.0, 0.0], [0.25, 0.75]])


def panels(figure: Figure) -> dict[str, np.ndarray]:
    return {
        axes.get_title(): np.asarray(axes.images[0].get_array())
        for axes in figure.axes
        if axes.images
    }


def test_each_head_of_each_layer_has_the_root_of_its_weights() -> None:
    weights = [torch.stack([CAUSAL, CAUSAL**2]), torch.stack([CAUSAL**3, CAUSAL**4])]
    found = panels(attention_figure(weights, "step 7"))
    assert list(found) == [f"layer {n} head {m}" for n in (1, 2) for m in (1, 2)]
    np.testing.assert_allclose(found["layer 1 head 1"], [[1, 0], [0.5, 0.75**0.5]], rtol=1e-6)
    np.testing.assert_allclose(found["layer 2 head 2"], CAUSAL.numpy() ** 2, rtol=1e-6)


def test_panels_are_square_and_side_by_side_with_room_for_the_bar() -> None:
    figure = attention_figure([torch.stack([CAUSAL] * 3)] * 2)
    width, height = figure.get_size_inches()
    *maps, bar = (axes.get_position() for axes in figure.axes)
    for one in maps:
        assert 0.8 < (one.width * width) / (one.height * height) < 1.25
        assert one.x1 < bar.x0
    assert maps[0].x1 < maps[1].x0 < maps[2].x0
    assert maps[3].y1 < maps[0].y0, "the second layer lies below the first"
    assert bar.x1 < 1
