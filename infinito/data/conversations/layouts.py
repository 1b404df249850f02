"""Lays conversations out as model input, with the position that predicts each learned token.

`packed` puts several conversations into a row: a block mask keeps them from seeing each other, and
positions restart. `padded` has a row for each, without a mask, as padding on the right is never
attended to; `masked` has the padding mask too. The loss is the same in each, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from infinito.data.batches.row_padding import add_mask, group_by_length, pad_rows
from infinito.data.conversations.conversation import TokenizedConversation

LayoutName = Literal["packed", "padded", "masked"]
LAYOUTS: tuple[LayoutName, ...] = ("packed", "padded", "masked")
"""From the fastest to the plainest."""


class ConversationBatch(NamedTuple):
    """A batch of conversations, ready for a model.

    Rows may lie in several parts, each one call of the model: where calls are cheap, padding costs
    more than another call.
    """

    inputs: tuple[dict[str, Tensor], ...]
    """For each part the model's keyword arguments: `input_ids` (rows, time), masks and positions
    as needed."""
    positions: tuple[Tensor, ...]
    """For each part (its learned tokens,): index into rows · time of the logits for the token."""
    targets: Tensor
    """(learned tokens,) token ids, part after part."""
    rows: Tensor
    """(conversations,): row of each in its file."""
    share: float
    """Weight of each learned token's loss; the average over processes and over the batches of a
    step is then the mean over all learned tokens of the step."""

    @property
    def input_tokens(self) -> int:
        """Tokens that the model computes, padding included."""
        return sum(part["input_ids"].numel() for part in self.inputs)

    def to(self, device: torch.device) -> ConversationBatch:
        """Return the batch on a device."""
        moved: dict[str, Any] = {
            "inputs": tuple(
                {name: x.to(device) for name, x in each.items()} for each in self.inputs
            ),
            "positions": tuple(each.to(device) for each in self.positions),
            "targets": self.targets.to(device),
            "rows": self.rows.to(device),
        }
        return self._replace(**moved)


def arrange(
    conversations: Sequence[TokenizedConversation],
    layout: LayoutName,
    share: float | None = None,
    call_tokens: int | None = None,
    *,
    is_forced: bool = False,
) -> ConversationBatch:
    """Return a batch of conversations in a layout.

    Args:
        conversations: At least one.
        layout: One of `LAYOUTS`. Where each conversation fills a row, or calls without padding
            cost less, a packed batch is laid out as a padded one.
        share: See `ConversationBatch`; None for the mean over this batch alone.
        call_tokens: Tokens that cost as much as another call of the model; None for one call.
        is_forced: Pack whatever it costs, all conversations into one row: for trials.
    """
    lengths = [len(each.inputs) for each in conversations]
    bins = pack(lengths, sum(lengths) if is_forced else max(lengths)) if layout == "packed" else []
    groups = [list(range(len(lengths)))]
    if call_tokens is not None:
        groups = group_by_length(lengths, call_tokens)
    call_cost = call_tokens or 0
    packed_cost = len(bins) * max(lengths) + call_cost
    padded_cost = sum(len(g) * max(lengths[row] for row in g) + call_cost for g in groups)
    if bins and (is_forced or packed_cost < padded_cost):
        parts = [_lay_out_packed([[conversations[row] for row in each] for each in bins])]
        order = list(chain.from_iterable(bins))
    else:
        is_masked = layout == "masked"
        parts = [_lay_out_rows([conversations[row] for row in each], is_masked) for each in groups]
        order = list(chain.from_iterable(groups))
    learned = sum(len(each.learned) for each in conversations)
    targets = [
        conversations[row].ids[place] for row in order for place in conversations[row].learned
    ]
    return ConversationBatch(
        inputs=tuple(inputs for inputs, _ in parts),
        positions=tuple(positions for _, positions in parts),
        targets=torch.tensor(targets),
        rows=torch.tensor([each.row for each in conversations]),
        share=1 / learned if share is None else share,
    )


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return row numbers in bins of at most `capacity` tokens: best fit, the longest first.

    Source: Johnson 1973, Near-optimal bin packing algorithms: at most 11/9 of the fewest bins.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        fitting = [number for number, left in enumerate(room) if left >= lengths[row]]
        if fitting:
            best = min(fitting, key=room.__getitem__)
            bins[best].append(row)
            room[best] -= lengths[row]
        else:
            bins.append([row])
            room.append(capacity - lengths[row])
    return bins


def _lay_out_rows(
    conversations: Sequence[TokenizedConversation], padding_mask: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """Lay each conversation out in a row of its own."""
    ids, real = pad_rows([each.inputs for each in conversations])
    inputs = {"input_ids": ids} | ({"attention_mask": real.long()} if padding_mask else {})
    time = ids.shape[1]
    positions = [
        number * time + place - 1
        for number, each in enumerate(conversations)
        for place in each.learned
    ]
    return inputs, torch.tensor(positions)


def _lay_out_packed(
    bins: Sequence[Sequence[TokenizedConversation]],
) -> tuple[dict[str, Tensor], Tensor]:
    """Lay the conversations of each bin out in one row, one after the other."""
    ids, _ = pad_rows([list(chain.from_iterable(each.inputs for each in row)) for row in bins])
    parts = torch.full(ids.shape, -1)  # the number of a token's conversation in its row
    places = torch.zeros_like(ids)
    positions = []
    for number, row in enumerate(bins):
        start = 0
        for part, each in enumerate(row):
            end = start + len(each.inputs)
            parts[number, start:end] = part
            places[number, start:end] = torch.arange(end - start)
            positions += [number * ids.shape[1] + start + place - 1 for place in each.learned]
            start = end
    visible = (parts[:, :, None] == parts[:, None, :]).tril()
    inputs = {"input_ids": ids, "attention_mask": add_mask(visible), "position_ids": places}
    return inputs, torch.tensor(positions)
