"""Lays preference pairs out as model input, with the position that predicts each answer token.

`shared` puts a prompt and both answers into one row: the prompt is computed once, a block mask
keeps the answers apart, and positions of the second answer restart after the prompt. Prior art
for sharing the prompt: frankxwang/dpo-prefix-sharing. `concat` has a row for each answer, and the
head runs on answer positions only; `full` calls the model with a padding mask and takes all logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from infinito.data.batches.row_padding import add_mask, group_by_length, pad_rows

LayoutName = Literal["shared", "concat", "full"]
LAYOUTS: tuple[LayoutName, ...] = ("shared", "concat", "full")
"""From the fastest to the plainest."""


class Pair(Protocol):
    """What a layout reads of a pair: token ids of the prompt and of each answer, row and weight."""

    @property
    def prompt_ids(self) -> Sequence[int]: ...
    @property
    def chosen_ids(self) -> Sequence[int]: ...
    @property
    def rejected_ids(self) -> Sequence[int]: ...
    @property
    def row(self) -> int: ...
    @property
    def weight(self) -> float: ...


class PairBatch(NamedTuple):
    """A batch of pairs, ready for a model; answers are numbered chosen first, then rejected.

    Rows of different lengths may lie in different parts, each one call of the model: where calls
    are cheap, padding costs more than another call.
    """

    inputs: tuple[dict[str, Tensor], ...]
    """For each part the model's keyword arguments: `input_ids` (rows, time), masks and positions
    as needed."""
    positions: tuple[Tensor, ...]
    """For each part (its answer tokens,): index into rows · time of the logits for the token."""
    targets: Tensor
    """(answer tokens,): token ids of the answers, part after part."""
    answers: Tensor
    """(answer tokens,): number of the token's answer, 0 … 2·pairs − 1."""
    tokens: Tensor
    """(2·pairs,): tokens of each answer."""
    weights: Tensor
    """(pairs,) float64: how much each pair counts."""
    rows: Tensor
    """(pairs,): row of each pair in its file."""
    layout: LayoutName
    share: float
    """Weight of each pair's loss; averaging over processes then gives the mean over all pairs."""
    reference: Tensor | None = None
    """(2·pairs,) float64: the reference's log-probabilities, if precomputed."""

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.weights)

    @property
    def input_tokens(self) -> int:
        """Tokens that the model computes, padding included."""
        return sum(part["input_ids"].numel() for part in self.inputs)

    def to(self, device: torch.device) -> PairBatch:
        """Return the batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        inputs = tuple({name: x.to(device) for name, x in part.items()} for part in self.inputs)
        positions = tuple(part.to(device) for part in self.positions)
        return self._replace(inputs=inputs, positions=positions, **moved)


def arrange(
    pairs: Sequence[Pair],
    layout: LayoutName,
    reference: Tensor | None = None,
    share: float | None = None,
    call_tokens: int | None = None,
) -> PairBatch:
    """Return a batch of pairs in a layout.

    Args:
        pairs: At least one.
        layout: One of `LAYOUTS`.
        reference: (2·pairs,) log-probabilities that the reference gives the answers.
        share: See `PairBatch`; None for one process.
        call_tokens: Tokens that cost as much as another call of the model; None for one call.
    """
    answers = [pair.chosen_ids for pair in pairs] + [pair.rejected_ids for pair in pairs]
    lengths = _measure_rows(pairs, layout)
    parts = [list(range(len(lengths)))]
    if call_tokens is not None:
        parts = group_by_length(lengths, call_tokens)
    inputs, positions, order = [], [], []
    for rows in parts:
        if layout == "shared":
            part, starts, firsts = _lay_out_pairs([pairs[row] for row in rows])
            numbers = [*rows, *(row + len(pairs) for row in rows)]
        else:
            prompts = [pairs[row % len(pairs)].prompt_ids for row in rows]
            numbers = rows
            part, starts, firsts = _lay_out_answers(
                prompts, [answers[row] for row in rows], padding_mask=layout == "full"
            )
        inputs.append(part)
        positions.append(_find_token_positions([answers[n] for n in numbers], starts, firsts))
        order.extend(numbers)
    tokens = torch.tensor([len(answer) for answer in answers])
    return PairBatch(
        inputs=tuple(inputs),
        positions=tuple(positions),
        targets=torch.tensor(list(chain.from_iterable(answers[number] for number in order))),
        answers=torch.tensor(order).repeat_interleave(tokens[order]),
        tokens=tokens,
        weights=torch.tensor([pair.weight for pair in pairs], dtype=torch.float64),
        rows=torch.tensor([pair.row for pair in pairs]),
        layout=layout,
        share=1 / len(pairs) if share is None else share,
        reference=reference,
    )


def _measure_rows(pairs: Sequence[Pair], layout: LayoutName) -> list[int]:
    """Return the number of tokens of each row, without padding."""
    if layout == "shared":
        return [
            len(pair.prompt_ids) + len(pair.chosen_ids) + len(pair.rejected_ids) - 2
            for pair in pairs
        ]
    chosen = [len(pair.prompt_ids) + len(pair.chosen_ids) - 1 for pair in pairs]
    return chosen + [len(pair.prompt_ids) + len(pair.rejected_ids) - 1 for pair in pairs]


def _find_token_positions(
    answers: Sequence[Sequence[int]], starts: Tensor, firsts: Tensor
) -> Tensor:
    """Return the positions whose logits predict the tokens of the answers.

    The prompt's last position predicts an answer's first token; each token predicts the next one.

    Args:
        answers: Token ids.
        starts: (answers,) position of each answer's first token.
        firsts: (answers,) position of the token before it.
    """
    tokens = torch.tensor([len(answer) for answer in answers])
    numbers = torch.arange(len(answers)).repeat_interleave(tokens)
    within = torch.arange(len(numbers)) - (tokens.cumsum(0) - tokens)[numbers]
    return torch.where(within == 0, firsts[numbers], starts[numbers] + within - 1)


def _lay_out_answers(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], padding_mask: bool
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Lay each answer out in a row of its own, without its last token, which predicts nothing.

    Padding is on the right, which causal models never attend to: without a mask their fast paths
    apply.
    """
    rows = [[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)]
    ids, real = pad_rows(rows)
    inputs = {"input_ids": ids} | ({"attention_mask": real.long()} if padding_mask else {})
    starts = torch.arange(len(rows)) * ids.shape[1] + torch.tensor([len(each) for each in prompts])
    return inputs, starts, starts - 1


def _lay_out_pairs(pairs: Sequence[Pair]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Lay each pair out in one row, in which the answers do not attend to each other."""
    rows = [[*pair.prompt_ids, *pair.chosen_ids[:-1], *pair.rejected_ids[:-1]] for pair in pairs]
    ids, _ = pad_rows(rows)
    time = ids.shape[1]
    prompt = torch.tensor([len(pair.prompt_ids) for pair in pairs])
    second = prompt + torch.tensor([len(pair.chosen_ids) - 1 for pair in pairs])
    end = second + torch.tensor([len(pair.rejected_ids) - 1 for pair in pairs])
    places = torch.arange(time)
    limits = torch.stack((prompt, second, end), dim=1)
    # 0 in the prompt, 1 and 2 in the answers, 3 in the padding
    parts = (places[None, :, None] >= limits[:, None, :]).sum(-1)
    positions = torch.where(parts == 2, places - (second - prompt)[:, None], places)
    inputs = {
        "input_ids": ids,
        "attention_mask": _build_block_mask(parts),
        "position_ids": torch.where(parts == 3, 0, positions),
    }
    offsets = torch.arange(len(rows)) * time
    starts = torch.cat((offsets + prompt, offsets + second))
    return inputs, starts, (offsets + prompt - 1).repeat(2)


def _build_block_mask(parts: Tensor) -> Tensor:
    """Return a causal mask to add to scores, (rows, 1, time, time); all attend to the prompt.

    Every query attends to itself, so no row is −∞ throughout.
    """
    queries, keys = parts[:, :, None], parts[:, None, :]
    return add_mask(((keys == 0) | (keys == queries)).tril())
