"""A model that is served: how a request becomes a job of its engine."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

from infinito.chat.answer_text import AnswerText
from infinito.chat.prompts import Prompts
from infinito.chat.sampling import Sampler
from infinito.config import ChatConf, GenerationConf, ServeConf
from infinito.errors import DataError
from infinito.models.generation import find_window
from infinito.models.trained import Trained
from infinito.seeding import child_seed
from infinito.serving.engine import Engine, Full, Job, Piece
from infinito.serving.faults import RequestFault
from infinito.serving.protocol import ChatRequest

LARGEST_SEED = 2**63


class ServedModel:
    """A model under its name.

    Args:
        name: By which requests ask for it.
        trained: The model.
        chat: Its template, the system's message of conversations without one, stop texts.
        settings: What a request gets that says nothing else.
        serve: The bounds.
        seed: Of requests that bring none.
    """

    def __init__(
        self,
        name: str,
        trained: Trained,
        chat: ChatConf,
        settings: GenerationConf,
        serve: ServeConf,
        seed: int,
    ) -> None:
        self.name, self.trained, self.settings, self.serve = name, trained, settings, serve
        self.seed, self.system, self.most = seed, chat.system, serve.max_tokens
        self.prompts = Prompts(trained, chat.template)
        self.stops = (*self.prompts.stops, *chat.stop)
        self.context = min(find_window(trained.model) or serve.max_context, serve.max_context)
        self.engine = Engine(trained.model, serve.batch, serve.queue)
        self._numbers = itertools.count()

    def submit(self, request: ChatRequest) -> tuple[Job, asyncio.Queue[Piece]]:
        """Let a request wait for its answer; return its job and where the pieces arrive.

        Must be called in the event loop's thread.

        Raises:
            RequestFault: the messages cannot be read, do not fit, or too many requests wait.
        """
        ids = self._encode(request)
        job_pieces: asyncio.Queue[Piece] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(piece: Piece) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(job_pieces.put_nowait, piece)

        seed = request.seed
        if seed is None:
            seed = child_seed(self.seed, "serve", next(self._numbers))
        job = Job(
            ids,
            Sampler(self._settings(request), seed % LARGEST_SEED, self.trained.model.device),
            self._limit(request, len(ids)),
            self.prompts.end_ids,
            AnswerText(self.trained.tokenizer, (*self.stops, *request.stops)),
            tell,
        )
        try:
            self.engine.submit(job)
        except Full:
            raise RequestFault(
                429,
                f"{self.serve.queue} requests wait already: try again later, or start the server "
                "with a larger `serve.queue`",
                "queue_full",
            ) from None
        return job, job_pieces

    def _encode(self, request: ChatRequest) -> list[int]:
        messages = [each.to_message() for each in request.messages]
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        try:
            return self.prompts.encode(messages)
        except DataError as error:
            raise RequestFault(400, str(error), "invalid_messages", "messages") from None

    def _limit(self, request: ChatRequest, prompt: int) -> int:
        """Return the most tokens of an answer."""
        requested, most = request.limit, self.most
        if requested is not None and requested > most:
            raise RequestFault(
                400,
                f"max_tokens={requested} is more than this server writes, {most}: ask for less, or "
                "start it with a larger `serve.max_tokens`",
                "invalid_value",
                "max_tokens",
            )
        wanted = 1 if requested is None else requested
        if prompt + wanted > self.context:
            raise RequestFault(
                400,
                f"the messages have {prompt} tokens and the answer up to {wanted}, and the model "
                f"{self.name} holds {self.context} together: shorten them",
                "context_length_exceeded",
                "messages",
            )
        if requested is not None:
            return requested
        return min(self.settings.max_new_tokens, most, self.context - prompt)

    def _settings(self, request: ChatRequest) -> GenerationConf:
        given = {
            name: value
            for name in ("temperature", "top_p", "top_k", "repetition_penalty")
            if (value := getattr(request, name)) is not None
        }
        return replace(self.settings, **given)
