"""samples.jsonl: a sample a step, whatever the text, exact after a resume."""

from __future__ import annotations

from pathlib import Path

from infinito.run_folder.series.samples_file import Sample, SamplesFile, read_samples

HOSTILE = 'a\nb</script>\u2028\ud83d"\\ ✓'


def sample(step: int) -> Sample:
    return Sample(step=step, prompt="The", text=f"{HOSTILE}{step}")


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    file = SamplesFile(tmp_path)
    for step in (10, 20, 20):
        file.write(sample(step))
    assert read_samples(tmp_path) == [sample(10), sample(20)]


def test_a_resumed_run_keeps_what_came_before(tmp_path: Path) -> None:
    file = SamplesFile(tmp_path)
    for step in (10, 20, 30):
        file.write(sample(step))
    resumed = SamplesFile(tmp_path, resumed_step=20)
    resumed.write(sample(20))
    resumed.write(sample(30))
    assert read_samples(tmp_path) == [sample(10), sample(20), sample(30)]
    SamplesFile(tmp_path).write(sample(5))
    assert read_samples(tmp_path) == [sample(5)]


def test_lines_that_hold_no_sample_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text('{"step": 1}\n[]\nno\n{"step": 2, "prompt": "a"')
    assert read_samples(tmp_path) == []
    assert read_samples(tmp_path / "absent") == []
