"""Embeddings of a token and the one before it, from a table that a hash of the two indexes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

NO_TOKEN = -1
"""Stands for the token before a text's first."""

MULTIPLIER = 2_654_435_761
"""Knuth's constant of multiplicative hashing: 2³² over the golden ratio, a prime."""


class BigramEmbeddings(nn.Embedding):
    """A vector for every pair of neighbouring tokens; pairs whose hashes agree share it.

    Source: hashed n-gram features, Joulin et al. 2016, Bag of Tricks, section 2.2.
    """

    def embed(self, ids: Tensor, previous_ids: Tensor) -> Tensor:
        """Return the pairs' vectors, (batch, time, dim).

        Args:
            ids: tokens (batch, time).
            previous_ids: the token before each (batch, time), or `NO_TOKEN`.
        """
        vectors: Tensor = self(self.row(ids, previous_ids))
        return vectors

    def row(self, ids: Tensor, previous_ids: Tensor) -> Tensor:
        """Return the row of each pair, (batch, time): 0 where no token is before it."""
        row = 1 + (previous_ids * MULTIPLIER + ids) % (self.num_embeddings - 1)
        return row.where(previous_ids != NO_TOKEN, 0)


def previous_tokens(
    ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
) -> Tensor:
    """Return the token before each, (batch, time): `NO_TOKEN` at the start of a text.

    Args:
        ids: tokens (batch, time), from the first on.
        attention_mask: (batch, time), 0 at padding, which is no token before another.
        position_ids: (batch, time); a 0 starts a text, as in a row of several.
    """
    if attention_mask is not None and attention_mask.ndim == 2:
        ids = ids.where(attention_mask.bool(), NO_TOKEN)
    previous = pad(ids[:, :-1], (1, 0), value=NO_TOKEN)
    return previous if position_ids is None else previous.where(position_ids != 0, NO_TOKEN)
