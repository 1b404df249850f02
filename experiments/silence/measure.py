"""Measures for how long commands are silent on a terminal: the longest gaps between its outputs.

    python experiments/silence/measure.py [<name>...] [--out <results.json>]

Each command runs in a pseudo-terminal of 80 columns, in an empty folder, and every piece of output
is written down with the time at which it came. The names are the keys of `COMMANDS`; without any,
all of them run, in order, since later ones use the runs of earlier ones.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fcntl import ioctl
from pathlib import Path
from tempfile import TemporaryDirectory

PYTHON = os.environ.get("SILENCE_PYTHON", sys.executable)

SHORT = ("trainer.epochs=null", "trainer.max_steps=40", "trainer.validate_every=20",
         "data.max_bytes=2000000", "optimizer.warmup_steps=0")  # fmt: skip
"""What makes the main job short; its phases stay as they are."""

STAGES = [
    "pretrain:trainer.max_steps=20", "pretrain:trainer.validate_every=10",
    "pretrain:data.max_bytes=100000", "pretrain:optimizer.warmup_steps=0",
    "sft:data.skills=[count]", "sft:data.items=100", "sft:data.held_out_items=20",
    "sft:trainer.max_steps=80", "sft:trainer.validate_every=40", "sft:optimizer.warmup_steps=0",
    "dpo:trainer.max_steps=3",
]  # fmt: skip

TEXT = "text.txt"

HARNESS_TASK = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: bits_per_byte
"""

COMMANDS: dict[str, Sequence[str]] = {
    "help": ["--help", "data=text"],
    "list": ["task=list"],
    "a mistake": ["modle=gpt2"],
    "dry run": ["+experiment=base_full", "dry_run=true"],
    "train": ["+experiment=base_30ep", *SHORT, "hydra.run.dir=runs/base"],
    "own text": [
        "data=text", f"data.path={TEXT}", "tokenizer=char", "trainer.epochs=null",
        "trainer.max_steps=20",
    ],
    "minutes": ["data=text", f"data.path={TEXT}", "tokenizer=char", "trainer.minutes=0.6"],
    "resume": ["resume=runs/base"],
    "generate": ["task=generate", "checkpoint=runs/base", 'generation.prompt="The "',
                 "generation.top_k=40"],
    "evaluate": ["task=evaluate", "checkpoint=runs/base", "split=test"],
    "phi": ["+experiment=base_30ep", *SHORT, "objective=language_phi"],
    "sweep": ["-m", "+experiment=debug", "attention=dot,l1", "seed=0,1",
              "hydra.sweep.dir=runs/sweep"],
    "compare": ["task=compare", "runs=[runs/sweep]"],
    "report": ["task=report", "checkpoint=runs/base"],
    "dpo": ["+experiment=dpo"],
    "schedule": ["+experiment=rl_quick", "rl.total_timesteps=1024"],
    "search": ["-m", "+search=mcts_attention", "hydra.sweeper.n_trials=4",
               "trainer.max_steps=20", "optimizer.warmup_steps=0",
               "hydra.sweep.dir=runs/search"],
    "export a sweep": ["task=export_sweep", "runs=[runs/search]"],
    "chat": ["task=chat", "checkpoint=runs/base", "chat.template=plain",
             "generation.max_new_tokens=40"],
    "serve": ["task=serve", "checkpoint=runs/base", "chat.template=plain", "serve.port=0"],
    "harness": ["task=lm_eval", "checkpoint=runs/base", "lm_eval.tasks_path=tasks",
                "lm_eval.tasks=[mine]"],
    "stages": ["+experiment=chat_from_scratch", f"stage_overrides={STAGES}"],
}  # fmt: skip
"""The README's commands and their neighbours, each made short; none needs a network.

`chat`, `serve` and the like use the runs of commands before them.
"""

KEYS: dict[str, Sequence[tuple[str, str]]] = {
    "chat": [("> ", "What is a list?\n"), ("> ", "And a tuple?\n"), ("> ", "/quit\n")],
    "serve": [("Ctrl+C stops", "\x03")],
}
"""What is typed, each once the text before it stands at the end of the screen."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()].|[\r\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True)
class Silence:
    """A gap between two outputs of a terminal."""

    seconds: float
    at_s: float
    """When it began, from the start of the command."""
    after: str
    """The end of what stood on the screen."""


@dataclass(frozen=True)
class Recording:
    """What a command did on a terminal."""

    name: str
    exit_code: int
    wall_s: float
    cpu_s: float
    load: float
    """Mean number of processes that wanted a core, when the command ended."""
    silences: list[Silence]
    """The longest, longest first."""


def record(name: str, arguments: Sequence[str], folder: Path, kept: int = 3) -> Recording:
    """Run a command in a terminal, and return its longest silences.

    Args:
        name: Of the command.
        arguments: Of infinito.
        folder: Where it runs.
        kept: How many silences to return.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUNBUFFERED": ""}
    began_s, began_cpu_s = time.monotonic(), children_cpu_s()
    process = subprocess.Popen(
        [PYTHON, "-m", "infinito.run", *arguments],
        cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(theirs)
    last_s, tail, silences = began_s, "", []
    keys = list(KEYS.get(name, ()))
    while True:
        now_s, output = read_output(ours)
        silences.append(Silence(round(now_s - last_s, 3), round(last_s - began_s, 3), tail[-60:]))
        last_s = now_s
        if not output:
            break
        shown = CONTROL.sub("", output.decode("utf-8", "replace"))
        tail = (tail + shown).rstrip("\n").rpartition("\n")[2] or tail
        if keys and keys[0][0] in tail[-60:]:
            os.write(ours, keys.pop(0)[1].encode())
            tail = ""
    os.close(ours)
    code = process.wait()
    longest = sorted(silences, key=lambda each: -each.seconds)[:kept]
    wall_s, cpu_s = time.monotonic() - began_s, children_cpu_s() - began_cpu_s
    return Recording(
        name, code, round(wall_s, 2), round(cpu_s, 2), round(os.getloadavg()[0], 1), longest
    )


def take_terminal() -> None:
    """Make standard input the terminal whose Ctrl+C this process gets, and let it end by that."""
    ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_output(terminal: int) -> tuple[float, bytes]:
    """Return the next output of a terminal and when it came; nothing at its end."""
    while not select.select([terminal], [], [], 1.0)[0]:
        pass
    try:
        output = os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the last process has left the terminal
        output = b""
    return time.monotonic(), output


def children_cpu_s() -> float:
    """Return the seconds of CPU time of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Record the commands that are named, print a line for each and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(COMMANDS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder by default")
    settings = parser.parse_args()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    recordings = []
    with TemporaryDirectory(prefix="silence_") as temporary:
        folder = settings.folder or Path(temporary)
        sentence = "The cat sat on the mat, and {} dogs looked at it.\n"
        text = "".join(sentence.format(number) for number in range(5000))
        (folder / TEXT).write_text(text, encoding="utf-8")
        (folder / "tasks").mkdir()
        (folder / "tasks/mine.yaml").write_text(HARNESS_TASK, encoding="utf-8")
        rows = "".join(json.dumps({"text": sentence.format(n) * 20}) + "\n" for n in range(40))
        (folder / "rows.jsonl").write_text(rows, encoding="utf-8")
        for name in settings.names or COMMANDS:
            found = record(name, COMMANDS[name], folder)
            recordings.append(asdict(found))
            print(f"{name:10} exit {found.exit_code}  {found.wall_s:6.1f} s  load {found.load}")
            for each in found.silences:
                print(f"{'':10} {each.seconds:6.2f} s at {each.at_s:6.1f} s after {each.after!r}")
            sys.stdout.flush()
            if settings.out:
                settings.out.write_text(json.dumps(recordings, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
