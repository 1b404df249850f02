"""Times a long conversation, the start of `task=chat`, and a server's batch, on this machine.

python experiments/chat_latency/measure.py <run folder> results.json
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from infinito.chat.answer_text import AnswerText
from infinito.chat.conversation import Conversation
from infinito.chat.prompts import Prompts
from infinito.chat.sampling import Sampler
from infinito.config import ChatConf, GenerationConf
from infinito.data.tokenizers.char import CharTokenizer
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.trained import Trained
from infinito.serving.engine import Engine, Job, Piece

REPEATS, TURNS, CLIENTS = 5, 10, 8

GREEDY = GenerationConf(temperature=0, max_new_tokens=40)

MESSAGE = "a question of forty-eight letters, always as long"

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""Writes an answer where it was opened. `plain` puts a space between, with which models that were
trained on it begin their answers; the talker does not, so that each answer would be read again."""


TALKS: dict[str, dict[str, Any]] = {
    "cache kept": {},
    "answers read again": {"template": "plain"},
    "cache dropped": {"forgets": True},
}
"""How a conversation is held, by its name in the results."""


def build_talker() -> Trained:
    """Return a model of random weights, 4 layers of 256, whose window holds ten turns."""
    letters = [chr(code) for code in range(32, 127)]
    tokenizer = CharTokenizer().build(["\n", *letters], separates_documents=True)
    torch.manual_seed(0)
    config = DistanceLMConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        num_hidden_layers=4,
        intermediate_size=1024,
        max_position_embeddings=4096,
        num_attention_heads=4,
        metric="dot",
        eos_token_id=tokenizer.eos_token_id,
    )
    return Trained(DistanceLMForCausalLM(config).eval(), tokenizer, Path("random"))


@dataclass(frozen=True)
class FirstToken:
    """What the first token of an answer cost."""

    cpu_s: float
    read: int
    """Tokens that the model read for it."""


def time_first_tokens(
    trained: Trained, *, forgets: bool = False, template: str = TEMPLATE
) -> list[FirstToken]:
    """Return what each turn costs from its message to the first token of its answer.

    Args:
        trained: The model.
        forgets: Drop the key/value cache between turns: the control.
        template: The chat template.
    """
    talk = Conversation(trained, Prompts(trained, template), GREEDY, ChatConf(template=template), 0)
    found = []
    for _ in range(TURNS):
        if forgets:
            talk.reader.forget()
        began, before = time.process_time(), talk.reader.computed
        pieces = talk.write(talk.begin(MESSAGE))
        next(pieces)
        found.append(FirstToken(time.process_time() - began, talk.reader.computed - before))
        for _ in pieces:
            pass
    return found


def time_start(words: Sequence[str]) -> float:
    """Return the CPU seconds of a command with one line on standard input."""
    command = [sys.executable, "-m", "infinito.run", *words]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(b"Say: sand tent\n")
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime


def time_engine(trained: Trained, together: int) -> tuple[float, list[list[int]]]:
    """Return tokens per second of eight answers, so many of them at once, and the answers."""
    engine = Engine(trained.model, together, CLIENTS)
    prompts = Prompts(trained, "plain")
    done: queue.Queue[Piece] = queue.Queue()

    def tell(piece: Piece) -> None:
        if piece.end is not None or piece.fault is not None:
            done.put(piece)

    jobs = []
    for number in range(CLIENTS):
        ids = prompts.encode([{"role": "user", "content": f"{MESSAGE} {number}"}])
        sampler = Sampler(GREEDY, 0, trained.model.device)
        text = AnswerText(trained.tokenizer, ())
        jobs.append(Job(ids, sampler, 64, frozenset(), text, tell))
    began = time.perf_counter()
    for job in jobs:
        engine.submit(job)
    for _ in jobs:
        piece = done.get()
        assert piece.fault is None, piece.fault
    seconds = time.perf_counter() - began
    engine.close()
    return sum(len(job.answer) for job in jobs) / seconds, [job.answer for job in jobs]


def measure(run: str) -> dict[str, Any]:
    """Return all figures, medians of `REPEATS`."""
    trained = build_talker()
    time_first_tokens(trained)  # the first calls of a process are slower
    found: dict[str, Any] = {}
    talks: dict[str, list[list[FirstToken]]] = {name: [] for name in TALKS}
    for _ in range(REPEATS):  # in turn, as the load of the machine changes
        for name, options in TALKS.items():
            talks[name].append(time_first_tokens(trained, **options))
    for name, turns in talks.items():
        second, last = (median(each[at].cpu_s for each in turns) for at in (1, TURNS - 1))
        read = {f"tokens read in turn {turn}": turns[0][turn - 1].read for turn in (2, TURNS)}
        figures = {"turn 2, CPU s": second, "turn 10, CPU s": last, "ratio": last / second}
        found[name] = {**figures, **read}
    chat = ("task=chat", f"checkpoint={run}", "generation.max_new_tokens=1")
    write = ("task=generate", f"checkpoint={run}", "generation.max_new_tokens=1")
    starts = [(time_start(chat), time_start(write)) for _ in range(REPEATS)]
    of_chat, of_generate = (median(each[at] for each in starts) for at in (0, 1))
    found["start"] = {
        "chat, CPU s": of_chat,
        "generate, CPU s": of_generate,
        "ratio": of_chat / of_generate,
    }
    rates: dict[int, list[float]] = {1: [], CLIENTS: []}
    answers = []
    for _ in range(REPEATS):
        for together in rates:
            rate, written = time_engine(trained, together)
            rates[together].append(rate)
            answers.append(written)
    one, many = median(rates[1]), median(rates[CLIENTS])
    found["serving"] = {
        "one at a time, tokens/s": one,
        "eight at once, tokens/s": many,
        "ratio": many / one,
        "answers are equal": all(each == answers[0] for each in answers),
    }
    return found


if __name__ == "__main__":
    figures = measure(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
