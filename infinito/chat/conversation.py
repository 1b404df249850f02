"""A conversation with a model: its messages, what of them fits the window, and the answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace

from infinito.chat.answer_text import AnswerText
from infinito.chat.prompts import Prompts
from infinito.chat.reading import Reader
from infinito.chat.sampling import Sampler
from infinito.config import ChatConf, GenerationConf
from infinito.data.conversations.rendering.messages import Message
from infinito.errors import DataError
from infinito.models.generation import find_window
from infinito.models.trained import Trained
from infinito.seeding import child_seed


@dataclass
class Turn:
    """A message that waits for its answer."""

    messages: list[Message]
    """The conversation up to the message, as far as it fits the window."""
    ids: list[int]
    """The same as token ids, up to where the answer begins."""
    limit: int
    """Most tokens that the answer may have."""
    dropped: list[Message] = field(default_factory=list)
    """Messages of earlier turns that are left out to make room."""
    answer: list[int] = field(default_factory=list)
    """Tokens of the answer so far."""
    end: str = "stopped"
    """Why the answer ended: `end` of its own, `length`, or `stopped` by the reader of it."""


class Conversation:
    """Messages, and a model that answers them.

    Args:
        trained: The model.
        prompts: Its chat template.
        settings: How answers are drawn, and their most tokens.
        chat: The system's message, stop texts, and what to do where the window is full.
        seed: Of all draws; each turn has a child of it.
    """

    def __init__(
        self,
        trained: Trained,
        prompts: Prompts,
        settings: GenerationConf,
        chat: ChatConf,
        seed: int,
    ) -> None:
        self.trained, self.prompts, self.settings, self.seed = trained, prompts, settings, seed
        self.stops = (*prompts.stops, *chat.stop)
        self.drops = chat.overflow == "drop"
        self.reader = Reader(trained.model)
        self.window = find_window(trained.model)
        self.messages: list[Message] = []
        """What the model reads at the next turn."""
        self.dropped: list[Message] = []
        """Messages of turns that fell out of the window."""
        self.turns = 0
        """Turns that were answered since the program started; it numbers the draws."""
        if chat.system is not None:
            self.set_system(chat.system)

    def reset(self) -> None:
        """Forget all turns; the system's message stays."""
        self.messages, self.dropped = self._system(), []

    def transcript(self) -> list[Message]:
        """Return the whole conversation, with the turns that fell out of the window."""
        system = self._system()
        return [*system, *self.dropped, *self.messages[len(system) :]]

    def set_system(self, text: str) -> None:
        """Give the system another message, "" for none; the turns stay.

        Raises:
            DataError: the template takes none.
        """
        system = [{"role": "system", "content": text}] if text.strip() else []
        self.prompts.encode([*system, {"role": "user", "content": "a"}])
        self.messages = [*system, *self.messages[len(self._system()) :]]

    def set_temperature(self, temperature: float) -> None:
        """Draw the next answers at another temperature; 0 is greedy."""
        self.settings = replace(self.settings, temperature=temperature)

    def undo(self) -> str | None:
        """Take back the last message with its answer; return the message, None without any."""
        user_turns = [at for at, each in enumerate(self.messages) if each["role"] == "user"]
        if not user_turns:
            return None
        last = self.messages[user_turns[-1]]
        self.messages = self.messages[: user_turns[-1]]
        return str(last["content"])

    def begin(self, text: str) -> Turn:
        """Return the turn of a message: the conversation with it, as far as the window holds.

        Where the window leaves less room than an answer may take, the oldest turns are left out
        until half of it is free: leaving out changes the beginning of the text, so that the model
        reads all of it again, which should not happen at every turn.

        Raises:
            DataError: the message alone is too long, the template refuses it, or
                `chat.overflow`=refuse and the window is full.
        """
        messages = [*self.messages, {"role": "user", "content": text}]
        ids, longest = self.prompts.encode(messages), self.settings.max_new_tokens
        if self.window is None:
            return Turn(messages, ids, longest)
        room = min(longest, self.window // 2)
        dropped: list[Message] = []
        if len(ids) + room > self.window:
            if not self.drops and len(messages) > len(self._system()) + 1:
                raise DataError(
                    f"the conversation has {len(ids)} tokens with this message, and the window of "
                    f"{self.window} has to hold an answer of up to {room} too. Take back turns, "
                    "begin anew, or use `chat.overflow=drop`"
                )
            messages, ids, dropped = self._drop_oldest(messages, ids)
        if len(ids) >= self.window:
            raise DataError(
                f"the message has {len(ids)} tokens with its template, and the model's window "
                f"holds {self.window} with the answer: shorten it"
            )
        return Turn(messages, ids, min(longest, self.window - len(ids)), dropped)

    def write(self, turn: Turn) -> Generator[str, None, None]:
        """Yield a piece of the answer for each of its tokens, and keep turn and answer.

        A piece is "" where a token adds no text yet. If its reader closes the iterator, the answer
        is kept as far as it came.

        Raises:
            NonFiniteError: the model's logits are NaN or infinite; the turn is not kept.
        """
        text = AnswerText(self.trained.tokenizer, self.stops)
        seed = child_seed(self.seed, "chat", self.turns)
        sampler = Sampler(self.settings, seed, self.trained.model.device)
        try:
            for _ in range(turn.limit):
                ids = turn.ids + turn.answer
                token = sampler.draw(ids, self.reader.read(ids))
                if token in self.prompts.end_ids:
                    turn.end = "end"
                    break
                turn.answer.append(token)
                yield text.push(token)
                if text.has_stopped:
                    turn.end = "end"
                    break
            else:
                turn.end = "length"
            yield text.finish()
        except GeneratorExit:
            self._keep(turn, text)
            raise
        self._keep(turn, text)

    def _keep(self, turn: Turn, text: AnswerText) -> None:
        self.messages = [*turn.messages, {"role": "assistant", "content": text.given.lstrip()}]
        self.dropped += turn.dropped
        self.turns += 1

    def _system(self) -> list[Message]:
        return self.messages[:1] if self.messages and self.messages[0]["role"] == "system" else []

    def _drop_oldest(
        self, messages: list[Message], ids: list[int]
    ) -> tuple[list[Message], list[int], list[Message]]:
        """Return a conversation with fewer turns, its tokens, and the messages left out."""
        assert self.window is not None
        system = self._system()
        first = len(system)
        while len(ids) > self.window // 2:
            later = (at for at in range(first + 1, len(messages)))
            following = next((at for at in later if messages[at]["role"] == "user"), None)
            if following is None:
                break
            first = following
            ids = self.prompts.encode([*system, *messages[first:]])
        return [*system, *messages[first:]], ids, messages[len(system) : first]
