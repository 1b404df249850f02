"""What the TensorBoard files of a run hold: for run folders that are older than metrics.csv."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from infinito.run_folder.folder import events_folder
from infinito.run_folder.series.metrics_file import Columns, as_columns, list_columns
from infinito.run_folder.series.samples_file import Sample

SAMPLE, HEAT_MAPS = "sample/text_summary", "val_attention/weights"


@dataclass(frozen=True)
class Events:
    """Figures, samples and the last heat maps of a run."""

    columns: Columns = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    heat_maps: bytes | None = None
    """A PNG file."""


def read_events(folder: Path) -> Events:
    """Return what a run's TensorBoard files hold, as its other files would; nothing without any."""
    if not any(events_folder(folder).glob("events.out.tfevents.*")):
        return Events()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sizes = {"scalars": 0, "tensors": 0, "images": 1}
    events = EventAccumulator(str(events_folder(folder)), size_guidance=sizes).Reload()
    tags = events.Tags()
    rows: dict[int, dict[str, float]] = {}
    begun_s = events.FirstEventTimestamp() if tags["scalars"] else 0.0
    for tag in tags["scalars"]:
        for each in events.Scalars(tag):
            seconds = round(each.wall_time - begun_s, 3)
            rows.setdefault(each.step, {"step": each.step, "seconds": seconds})[tag] = each.value
    ordered = [rows[step] for step in sorted(rows)]
    samples = [
        _as_sample(each.step, each.tensor_proto.string_val[0].decode("utf-8", "replace"))
        for each in (events.Tensors(SAMPLE) if SAMPLE in tags["tensors"] else [])
    ]
    images = events.Images(HEAT_MAPS) if HEAT_MAPS in tags["images"] else []
    picture = images[-1].encoded_image_string if images else None
    return Events(as_columns(ordered, list_columns(ordered)), samples, picture)


def _as_sample(step: int, text: str) -> Sample:
    inside = re.sub(r"\A```\n|\n```\Z", "", text)
    prompt, _, rest = inside.partition("⟶")
    return Sample(step=step, prompt=prompt, text=rest)
