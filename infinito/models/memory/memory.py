"""The integration memory: slots that hold what earlier segments of text were about.

A token reads the segments before its own, never its own or a later one. In training, what was read
from is written afterwards and stays for later batches; evaluation writes nothing that stays. How it
sits inside a language model is in `memory_lm`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infinito.attention.reference import weigh
from infinito.config.memory import MemoryConf
from infinito.models.memory.segments import Segments
from infinito.objectives.phi import WEIGHTS, PhiComponents, phi

PRIORITY = (0.8, 0.2, 0.1)
"""Of Φ/10, attention and recency: one scale for all slots, from 0 to 1.1."""
GATE_START = -5.0
"""The gate lets sigmoid(−5), 0.7 %, of what was read through at the start."""
IRRATIONAL = (19 * 2**0.5, 23 * 3**0.5, 29 * 5**0.5, 31 * 7**0.5)
"""Their multiples are spread evenly modulo 1."""


class Entries(NamedTuple):
    """What can be read: the slots, and each sequence's own segments."""

    states: Tensor
    """(count, dim) or (batch, count, dim)."""
    components: Tensor
    """(…, 4)."""
    born: Tensor
    """The clock when each was written, (…)."""
    alive: Tensor
    """bool (…)."""


class IntegrationMemory(nn.Module):
    """Reads slots into the residual stream through a gate, and writes segments into slots.

    A slot keeps the mean state of a segment; its key and value are projected anew at every read, so
    that the projections learn from all that is remembered.

    Args:
        dim: Width of the hidden states.
        settings: See there.
        component_weights: Of the components of Φ in a priority, summing to 1.
        learned_weights: Whether the language loss trains them.
    """

    states: Tensor
    """Mean state of each slot's segment, (slots, dim); with the rest, what is saved."""
    components: Tensor
    born: Tensor
    alive: Tensor
    clock: Tensor
    """Segments of text that have passed, ()."""
    steps: Tensor
    evictions: Tensor

    def __init__(
        self,
        dim: int,
        settings: MemoryConf,
        component_weights: tuple[float, ...] = WEIGHTS,
        learned_weights: bool = False,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.fixed_weights = component_weights
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.gate_bias = nn.Parameter(torch.tensor([GATE_START]))
        self.gate_weight = nn.Parameter(torch.zeros(dim)) if settings.gate == "dynamic" else None
        self.weight_logits = None
        if learned_weights:
            self.weight_logits = nn.Parameter(torch.tensor(component_weights).log())
        self.register_buffer("states", torch.zeros(settings.slots, dim))
        self.register_buffer("components", torch.zeros(settings.slots, 4))
        self.register_buffer("born", torch.zeros(settings.slots, dtype=torch.long))
        self.register_buffer("alive", torch.zeros(settings.slots, dtype=torch.bool))
        self.register_buffer("clock", torch.zeros((), dtype=torch.long))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("evictions", torch.zeros((), dtype=torch.long))

    def component_weights(self) -> Tensor:
        """Return the weights of the components of Φ, (4,), summing to 1.

        Learned ones act on what is read only, so the language loss alone trains them.
        """
        if self.weight_logits is not None:
            return self.weight_logits.softmax(0)
        return torch.tensor(self.fixed_weights, device=self.states.device)

    def forward(self, hidden: Tensor, segments: Segments) -> Tensor:
        """Return the residual stream with what was read added, (batch, time, dim); then write.

        Args:
            hidden: States of the new tokens, (batch, time, dim).
            segments: Of the whole text so far.
        """
        own = self.own_entries(segments)
        remembers = self.training or self.settings.evaluation == "frozen"
        slots = self.slot_entries() if remembers else None
        states = hidden.to(self.states.dtype)  # that of a base model may be lower
        read = self.read(states, segments.position, slots, own)
        if self.training:
            self.write(own)
        return hidden + (self.gate(states) * read).to(hidden.dtype)

    def gate(self, hidden: Tensor) -> Tensor:
        """Return how much of what was read passes, (batch, time, 1) or (1,)."""
        if self.gate_weight is None:
            return self.gate_bias.sigmoid()
        return (hidden @ self.gate_weight + self.gate_bias).sigmoid()[..., None]

    def own_entries(self, segments: Segments) -> Entries:
        """Return the segments of each sequence as entries, with gradient."""
        count = segments.states.shape[1]
        born = self.clock + torch.arange(count, device=self.clock.device)
        means = segments.states.mean(2).to(self.states.dtype)
        return Entries(means, segments.components, born.expand(len(means), -1), segments.whole)

    def slot_entries(self) -> Entries:
        """Return the slots as they are now; later writing leaves what is returned alone."""
        return Entries(
            self.states.clone(), self.components.clone(), self.born.clone(), self.alive.clone()
        )

    def read(self, hidden: Tensor, position: Tensor, slots: Entries | None, own: Entries) -> Tensor:
        """Return the top-k weighted mean of values for each token, (batch, time, dim).

        The weight of an entry is proportional to priority · exp(query·key/√dim).

        Args:
            hidden: (batch, time, dim).
            position: How many of its own segments each token may read, (batch, time).
            slots: What earlier batches left, None for nothing.
            own: The sequence's own segments.
        """
        queries = self.query(hidden) / math.sqrt(hidden.shape[-1])
        scores = queries @ self.key(own.states).mT
        priority, readable = self.table(slots, own)
        if slots is not None:
            shared = slots.states.to(hidden.dtype)
            scores = torch.cat([queries @ self.key(shared).mT, scores], dim=-1)
        scores = scores.float() + priority.log().take_along_dim(position[..., None], dim=1)
        readable = readable.take_along_dim(position[..., None], dim=1)
        if self.training:
            scores, readable = self.explored(scores, readable)
        weights = top_weights(scores, readable, self.settings.top_k).to(hidden.dtype)
        kept = 0 if slots is None else len(slots.states)
        mixed = weights[..., kept:] @ self.value(own.states)
        return mixed if slots is None else mixed + weights[..., :kept] @ self.value(shared)

    def table(self, slots: Entries | None, own: Entries) -> tuple[Tensor, Tensor]:
        """Return priority and readability of each entry from each segment of a text.

        Returns:
            float32 and bool (batch, segments + 1, slots + segments). No more than `slots` entries
            are ever readable: of more, those of the lowest priority are evicted.
        """
        batch, count = own.alive.shape
        device = own.alive.device
        here = torch.arange(count + 1, device=device)
        components, born = own.components, own.born
        earlier = here[:, None] > torch.arange(count, device=device)
        alive = own.alive[:, None, :] & earlier
        if slots is not None:
            components = torch.cat([slots.components.expand(batch, -1, -1), components], dim=1)
            born = torch.cat([slots.born.expand(batch, -1), born], dim=1)
            old = slots.alive.expand(batch, count + 1, -1)
            alive = torch.cat([old, alive], dim=-1)
        age = (self.clock + here)[:, None] - born[:, None, :]
        priority = self.priority(components[:, None], age.clamp_min(0))
        if alive.shape[-1] > self.settings.slots:
            alive = alive & (ranks(priority, alive) < self.settings.slots)
        return priority, alive

    def priority(self, components: Tensor, age: Tensor) -> Tensor:
        """Return the priority of entries, in (0, 1.1].

        Args:
            components: (…, 4) of each entry.
            age: Segments since each was written, (…).
        """
        recency = torch.exp(-age / self.settings.slots)
        if self.settings.priority == "age":
            return recency
        if self.settings.priority == "random":
            return unrelated(components)
        value = phi(PhiComponents(*components.float().unbind(-1)), self.component_weights()) / 10
        of_phi, of_attention, of_recency = PRIORITY
        total = of_phi * value + of_attention * components[..., 3].float() + of_recency * recency
        return total.clamp_min(1e-6)

    def explored(self, scores: Tensor, readable: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and readability with the noise of this step of training."""
        settings = self.settings
        left = max(0.0, 1 - int(self.steps) / settings.noise_steps) if settings.noise_steps else 1.0
        level = settings.noise_level * left
        if settings.noise == "none" or level == 0:
            return scores, readable
        match settings.noise:
            case "gaussian":
                return scores + level * torch.randn_like(scores), readable
            case "uniform":
                return scores + level * (2 * torch.rand_like(scores) - 1), readable
            case _:
                return scores, readable & (torch.rand_like(scores) >= level)

    @torch.no_grad()
    def write(self, own: Entries) -> None:
        """Put segments into slots; where there are more than slots, the highest priorities stay."""
        entries = Entries(
            torch.cat([self.states, own.states.flatten(0, 1).to(self.states.dtype)]),
            torch.cat([self.components, own.components.flatten(0, 1)]),
            torch.cat([self.born, own.born.flatten()]),
            torch.cat([self.alive, own.alive.flatten()]),
        )
        self.clock += own.born.shape[1]
        self.steps += 1
        priority = self.priority(entries.components, self.clock - entries.born)
        kept = ranks(priority, entries.alive).argsort()[: self.settings.slots]
        self.evictions += entries.alive.sum() - entries.alive[kept].sum()
        for buffer, values in zip(
            (self.states, self.components, self.born, self.alive), entries, strict=True
        ):
            buffer.copy_(values[kept])

    @torch.no_grad()
    def clear(self) -> None:
        """Forget everything that was written."""
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return utilisation, mean priority of what is remembered, evictions, and the gate."""
        alive = self.alive
        priority = self.priority(self.components, self.clock - self.born)[alive]
        return {
            "utilisation": float(alive.float().mean()),
            "mean_priority": float(priority.mean()) if len(priority) else 0.0,
            "evictions": float(self.evictions),
            "gate": float(self.gate_bias.sigmoid()),
        }


def unrelated(components: Tensor) -> Tensor:
    """Return a priority that says nothing of an entry but is always its own, in [0.35, 0.85].

    A draw would need a generator's state and would change when text is appended. Components are
    taken in steps of 1/256, so that rounding, with a cache or another batch, hardly ever matters.
    """
    steps = (components.double() * 256).round()
    digits = steps @ steps.new_tensor(IRRATIONAL)
    return (0.35 + 0.5 * (digits - digits.floor())).float()


def top_weights(scores: Tensor, readable: Tensor, top_k: int) -> Tensor:
    """Return the softmax over the `top_k` highest readable scores, 0 elsewhere.

    Args:
        scores: (…, entries), float32.
        readable: bool (…, entries); a row that may read nothing gets weight 0 everywhere.
    """
    count = min(top_k, scores.shape[-1])
    hidden = scores.masked_fill(~readable, -math.inf)
    top = hidden.topk(count, dim=-1).indices
    picked = torch.zeros_like(readable).scatter(-1, top, True) & readable
    return weigh(scores, picked)


def ranks(priority: Tensor, alive: Tensor) -> Tensor:
    """Return the place of each entry, 0 for the highest; the dead come last."""
    order = priority.masked_fill(~alive, -math.inf).argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1)
