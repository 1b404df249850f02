"""The integration memory: slots that keep the mean states of earlier segments of text.

One step goes through this page from top to bottom. `forward` makes an entry of each segment of the
batch, adds what tokens read from entries to their states through a gate, and in training writes the
entries into slots. Reading gives each entry a score, the log of its priority plus query·key/√dim,
and takes the softmax over the highest `top_k`. Writing keeps the entries of the highest priority.

A token reads the segments before its own, never its own or a later one, so the model stays causal.
Training leaves the slots to later batches; evaluation changes none. How a language model holds a
memory is in `model`, how text is cut into segments in `segments`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infinito.config.memory import MemoryConf
from infinito.models.memory.ranking import hash_components, rank, weigh_highest
from infinito.models.memory.segments import Segments
from infinito.objectives.phi import WEIGHTS, PhiComponents, phi

PRIORITY = (0.8, 0.2, 0.1)
"""Weights of Φ/10, attention and recency in a priority, which so lies between 0 and 1.1."""
LEAST_PRIORITY = 1e-6
"""The lowest priority: its log is still finite."""
GATE_START = -5.0
"""The gate's logit at the start: sigmoid(−5) = 0.7 % of what is read passes."""


class Entries(NamedTuple):
    """What can be read: all slots (count, …), or the segments of each text (batch, count, …)."""

    states: Tensor
    """Mean state of the segment, (…, count, dim)."""
    components: Tensor
    """Its components of Φ, (…, count, 4)."""
    born: Tensor
    """The memory's clock at the segment, int64 (…, count)."""
    alive: Tensor
    """False for a slot that is empty and for a segment with padding, bool (…, count)."""


class IntegrationMemory(nn.Module):
    """Reads slots into the residual stream through a gate, and writes segments into slots.

    A slot keeps the mean state of a segment, not its key and value: these are projected at every
    read, so that the projections learn from every entry.

    Args:
        dim: Width of the hidden states.
        settings: The memory's configuration.
        component_weights: Weights of the components of Φ in a priority, summing to 1.
        learned_weights: Whether the language loss trains these weights.
    """

    states: Tensor
    """Mean state of each slot's segment, (slots, dim). This and the other buffers are saved."""
    components: Tensor
    """Components of Φ of each slot's segment, (slots, 4)."""
    born: Tensor
    """The clock at which each slot's segment was written, (slots,)."""
    alive: Tensor
    """Whether a slot holds a segment, bool (slots,)."""
    clock: Tensor
    """Segments of text that training has read, ()."""
    steps: Tensor
    """Training steps, by which noise fades out, ()."""
    evictions: Tensor
    """Segments that were written and then overwritten or left out, ()."""

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
        """Return the weights of the components of Φ in a priority, (4,), summing to 1.

        Learned weights influence what tokens read and no other loss: the language loss trains them.
        """
        if self.weight_logits is not None:
            return self.weight_logits.softmax(0)
        return torch.tensor(self.fixed_weights, device=self.states.device)

    def forward(self, hidden: Tensor, segments: Segments) -> Tensor:
        """Return the states with what tokens read added, (batch, time, dim); in training, write.

        Args:
            hidden: States of the new tokens, (batch, time, dim).
            segments: Segments of each text up to the last new token.
        """
        own = self.make_entries(segments)
        reads_slots = self.training or self.settings.evaluation == "frozen"
        slots = self.copy_slots() if reads_slots else None
        states = hidden.to(self.states.dtype)  # a base model's may be of lower precision
        read = self.read(states, segments.position, slots, own)  # (batch, time, dim)
        if self.training:
            self.write(own)
        return hidden + (self.open_gate(states) * read).to(hidden.dtype)

    def open_gate(self, hidden: Tensor) -> Tensor:
        """Return the share of what is read that passes, (batch, time, 1) or (1,)."""
        if self.gate_weight is None:
            return self.gate_bias.sigmoid()
        return (hidden @ self.gate_weight + self.gate_bias).sigmoid()[..., None]

    def make_entries(self, segments: Segments) -> Entries:
        """Return the segments of each text as entries (batch, count, …), with gradient."""
        count = segments.states.shape[1]
        born = self.clock + torch.arange(count, device=self.clock.device)  # (count,)
        means = segments.states.mean(2).to(self.states.dtype)  # (batch, count, dim)
        return Entries(means, segments.components, born.expand(len(means), -1), segments.whole)

    def copy_slots(self) -> Entries:
        """Return a copy of the slots, (slots, …): writing happens before the backward reads it."""
        return Entries(
            self.states.clone(), self.components.clone(), self.born.clone(), self.alive.clone()
        )

    def read(self, hidden: Tensor, position: Tensor, slots: Entries | None, own: Entries) -> Tensor:
        """Return the weighted mean of the values that each token reads, (batch, time, dim).

        The weight of an entry is proportional to priority · exp(query·key/√dim), and 0 beyond the
        highest `top_k`.

        Args:
            hidden: (batch, time, dim).
            position: How many segments of its own text each token may read, (batch, time).
            slots: What earlier batches wrote, (slots, …), or None.
            own: The segments of each text, (batch, segments, …).
        """
        queries = self.query(hidden) / math.sqrt(hidden.shape[-1])  # (batch, time, dim)
        scores = queries @ self.key(own.states).mT  # (batch, time, segments)
        priority, readable = self.rank_entries(slots, own)  # (batch, segments + 1, entries)
        if slots is not None:
            shared = slots.states.to(hidden.dtype)  # (slots, dim)
            scores = torch.cat([queries @ self.key(shared).mT, scores], dim=-1)
        # A token takes the row of its position: (batch, time, entries), slots before segments.
        scores = scores.float() + priority.log().take_along_dim(position[..., None], dim=1)
        readable = readable.take_along_dim(position[..., None], dim=1)
        if self.training:
            scores, readable = self.add_noise(scores, readable)
        weights = weigh_highest(scores, readable, self.settings.top_k).to(hidden.dtype)
        split = 0 if slots is None else len(slots.states)
        mixed: Tensor = weights[..., split:] @ self.value(own.states)  # (batch, time, dim)
        return mixed if slots is None else mixed + weights[..., :split] @ self.value(shared)

    def rank_entries(self, slots: Entries | None, own: Entries) -> tuple[Tensor, Tensor]:
        """Return the priority of each entry and whether it is readable, for each position.

        Position i stands after i segments of a text. At most `slots` entries are readable from it,
        those of the highest priority, as if the segments before it had been written by then.

        Returns:
            float32 and bool (batch, segments + 1, entries), slots before segments.
        """
        batch, count = own.alive.shape
        device = own.alive.device
        here = torch.arange(count + 1, device=device)  # (positions,)
        components, born = own.components, own.born
        earlier = here[:, None] > torch.arange(count, device=device)  # (positions, segments)
        alive = own.alive[:, None, :] & earlier  # (batch, positions, segments)
        if slots is not None:
            components = torch.cat([slots.components.expand(batch, -1, -1), components], dim=1)
            born = torch.cat([slots.born.expand(batch, -1), born], dim=1)  # (batch, entries)
            old = slots.alive.expand(batch, count + 1, -1)
            alive = torch.cat([old, alive], dim=-1)  # (batch, positions, entries)
        age = (self.clock + here)[:, None] - born[:, None, :]  # (batch, positions, entries)
        priority = self.prioritize(components[:, None], age.clamp_min(0))
        if alive.shape[-1] > self.settings.slots:
            alive = alive & (rank(priority, alive) < self.settings.slots)
        return priority, alive

    def prioritize(self, components: Tensor, age: Tensor) -> Tensor:
        """Return the priority of entries, in (0, 1.1], (…).

        Args:
            components: Components of Φ of each entry, (…, 4).
            age: Segments since each was written, (…).
        """
        recency = torch.exp(-age / self.settings.slots)
        if self.settings.priority == "age":
            return recency
        if self.settings.priority == "random":
            return hash_components(components)
        value = phi(PhiComponents(*components.float().unbind(-1)), self.component_weights()) / 10
        phi_weight, attention_weight, recency_weight = PRIORITY
        attention = components[..., 3].float()
        total = phi_weight * value + attention_weight * attention + recency_weight * recency
        return total.clamp_min(LEAST_PRIORITY)

    def add_noise(self, scores: Tensor, readable: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and readability (batch, time, entries) with this training step's noise."""
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
        """Write segments into slots; of more than the slots hold, keep the highest priorities."""
        entries = Entries(
            torch.cat([self.states, own.states.flatten(0, 1).to(self.states.dtype)]),
            torch.cat([self.components, own.components.flatten(0, 1)]),
            torch.cat([self.born, own.born.flatten()]),
            torch.cat([self.alive, own.alive.flatten()]),
        )
        self.clock += own.born.shape[1]
        self.steps += 1
        priority = self.prioritize(entries.components, self.clock - entries.born)  # (entries,)
        kept = rank(priority, entries.alive).argsort()[: self.settings.slots]  # (slots,)
        self.evictions += entries.alive.sum() - entries.alive[kept].sum()
        for buffer, values in zip(
            (self.states, self.components, self.born, self.alive), entries, strict=True
        ):
            buffer.copy_(values[kept])

    @torch.no_grad()
    def clear(self) -> None:
        """Empty all slots and start the clock anew."""
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return the share of slots in use, their mean priority, evictions, and the open gate."""
        alive = self.alive
        priority = self.prioritize(self.components, self.clock - self.born)[alive]
        return {
            "utilisation": float(alive.float().mean()),
            "mean_priority": float(priority.mean()) if len(priority) else 0.0,
            "evictions": float(self.evictions),
            "gate": float(self.gate_bias.sigmoid()),
        }
