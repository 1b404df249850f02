"""A thread that writes the answers of many requests with one model, a token of each at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedModel

from infinito.chat.answer_text import AnswerText
from infinito.chat.sampling import Sampler
from infinito.serving.batch import SingleText, build_batch


@dataclass
class Piece:
    """What is new of an answer."""

    text: str = ""
    end: str | None = None
    """Why the answer ended, `stop` or `length`; None while it goes on."""
    fault: Exception | None = None
    """What prevented the answer, or its rest."""
    tokens: int = 0
    """Tokens that were drawn so far, an end token not counted."""


@dataclass
class Job:
    """A request as the engine knows it."""

    ids: list[int]
    """Token ids of the text to continue."""
    sampler: Sampler
    limit: int
    """Most tokens of the answer."""
    end_ids: frozenset[int]
    text: AnswerText
    tell: Callable[[Piece], None]
    """Receives every piece, in the engine's thread; the last one has an end or a fault."""
    is_cancelled: bool = False
    """Set by the caller, from any thread: the next step leaves the request out."""
    answer: list[int] = field(default_factory=list)


class Full(Exception):
    """No more requests can wait."""


class Engine:
    """Writes answers until it is closed.

    Args:
        model: In evaluation mode; no one else may use it meanwhile.
        places: Most answers that are written at once.
        queue: Most requests that wait for a place.
    """

    def __init__(self, model: PreTrainedModel, places: int, queue: int) -> None:
        self.batch = build_batch(model)
        self.is_single = isinstance(self.batch, SingleText)
        self.places, self.queue = 1 if self.is_single else places, queue
        self._waiting: deque[Job] = deque()
        self._writing: list[Job] = []
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Let a request wait for its turn.

        Raises:
            Full: too many wait already, or the engine is closed.
        """
        with self._changed:
            self._waiting = deque(each for each in self._waiting if not each.is_cancelled)
            free = max(0, self.places - len(self._writing))
            if self._is_closed or len(self._waiting) >= self.queue + free:
                raise Full
            self._waiting.append(job)
            self._changed.notify()

    def count(self) -> tuple[int, int]:
        """Return how many answers are being written and how many requests wait."""
        with self._changed:
            return len(self._writing), len(self._waiting)

    def close(self) -> None:
        """End the thread after the step it is at; answers in writing are left as they are."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            if (job := self._next()) is not None:
                self._admit(job)
            if self._writing:
                self._step()

    def _wait(self) -> bool:
        """Sleep until there is something to do; return False once the engine is closed."""
        with self._changed:
            while not (self._is_closed or self._waiting or self._writing):
                self._changed.wait()
            return not self._is_closed

    def _next(self) -> Job | None:
        """Take the oldest request that waits, one at each step, so that no answer stands long."""
        with self._changed:
            while self._waiting and len(self._writing) < self.places:
                if not (job := self._waiting.popleft()).is_cancelled:
                    return job
        return None

    def _admit(self, job: Job) -> None:
        try:
            logits = self.batch.add(job.ids)
        except Exception as error:  # of this request alone: memory, say
            self._fail([job], error)
            return
        with self._changed:
            self._writing.append(job)
        self._advance([job], logits)

    def _step(self) -> None:
        jobs = list(self._writing)
        try:
            logits = self.batch.step([job.answer[-1] for job in jobs])
        except Exception as error:  # half a step is none: all of them end
            self._fail(jobs, error)
            return
        self._advance(jobs, logits)

    def _advance(self, jobs: list[Job], logits: Tensor) -> None:
        """Draw a token for each request; let those leave that have come to their end."""
        gone = {id(job) for job, row in zip(jobs, logits, strict=True) if draw(job, row[None])}
        if not gone:
            return
        kept = [row for row, job in enumerate(self._writing) if id(job) not in gone]
        self.batch.keep(kept)
        with self._changed:
            self._writing = [self._writing[row] for row in kept]

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        logging.getLogger("infinito").warning("answers failed: %s", error)
        if self._writing and set(map(id, jobs)) >= set(map(id, self._writing)):
            self.batch.keep([])
            with self._changed:
                self._writing = []
        for job in jobs:
            job.tell(Piece(fault=error, tokens=len(job.answer)))


def draw(job: Job, logits: Tensor) -> bool:
    """Draw the next token of an answer, tell its text, and return whether the answer has ended."""
    if job.is_cancelled:
        return True
    try:
        token = job.sampler.draw(job.ids + job.answer, logits)
    except Exception as error:  # logits that are not finite: of this text alone
        job.tell(Piece(fault=error, tokens=len(job.answer)))
        return True
    if token in job.end_ids:
        job.tell(Piece(job.text.finish(), "stop", tokens=len(job.answer)))
        return True
    job.answer.append(token)
    piece, end = job.text.push(token), None
    if job.text.has_stopped:
        end = "stop"
    elif len(job.answer) == job.limit:
        piece, end = piece + job.text.finish(), "length"
    job.tell(Piece(piece, end, tokens=len(job.answer)))
    return end is not None
