"""samples.jsonl: what the model wrote at each validation, a JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from infinito.run_folder.series.step_lines import StepLines, read_lines

FILE = "samples.jsonl"


class Sample(TypedDict):
    """A piece of text that a model wrote."""

    step: int
    prompt: str
    text: str
    """How the model goes on from the prompt."""


class SamplesFile:
    """Writes samples.jsonl, from the first sample on.

    Args:
        folder: The run's.
        resumed_step: Samples up to this step stay, later ones go; None begins the file anew.
    """

    def __init__(self, folder: Path, resumed_step: int | None = None) -> None:
        self.folder = folder
        self.resumed_step = resumed_step
        self._lines = StepLines(folder / FILE)
        self._begun = False

    def write(self, sample: Sample) -> None:
        """Write a sample: in place of the last one if that is of the same step."""
        if not self._begun:
            limit = -1 if self.resumed_step is None else self.resumed_step
            kept = [each for each in read_samples(self.folder) if each["step"] <= limit]
            self._lines.begin([], [(each["step"], _format(each)) for each in kept])
            self._begun = True
        self._lines.put(sample["step"], _format(sample))


def read_samples(folder: Path) -> list[Sample]:
    """Return the samples of a run in their order, without lines that hold none."""
    found: list[Sample] = []
    for line in read_lines(folder / FILE):
        try:
            values = json.loads(line)
            each = Sample(
                step=int(values["step"]), prompt=str(values["prompt"]), text=str(values["text"])
            )
        except (ValueError, TypeError, KeyError):
            continue
        found.append(each)
    return found


def _format(sample: Sample) -> str:
    return json.dumps(sample, ensure_ascii=True)
