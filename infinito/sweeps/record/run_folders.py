"""The run folders that a folder stands for: itself, or the runs of a sweep."""

from __future__ import annotations

from pathlib import Path


def list_run_folders(folder: Path) -> list[Path]:
    """Return a run's folder itself; of a sweep's folder, those of its runs in their order.

    The list is empty where there is neither. Of a trial that was launched several times, the last
    launch counts.
    """
    if (folder / "config.yaml").is_file():
        return [folder]
    runs: dict[int, tuple[int, Path]] = {}
    for path in folder.glob("[0-9]*/config.yaml"):
        number, _, attempt = path.parent.name.partition(".")
        if not (number.isdigit() and (attempt or "1").isdigit()):
            continue
        launch = int(attempt or 1), path.parent
        runs[int(number)] = max(launch, runs.get(int(number), launch))
    return [runs[number][1] for number in sorted(runs)]
