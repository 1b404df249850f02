"""Windows of running text that a training on conversations reads on the side."""

from __future__ import annotations

from collections.abc import Iterator

from infinito.data.batches.order import TrainingOrder
from infinito.data.batches.token_blocks import TokenBlocks
from infinito.data.conversations.conversation import TokenizedConversation

NO_ROW = -1
"""Row number of what stands in no file of conversations."""


class RunningText:
    """So many windows of text for each batch of conversations, every token a target.

    A model that is tuned on answers alone forgets the text that it was trained on; text in each
    batch keeps it. Which windows come with which batch depends on (seed, batch, rank) alone.

    Args:
        blocks: The windows.
        rows: Windows per batch and process.
        seed: Seed of the order of the windows.
        name: What to call the text in messages and records.
        fingerprint: Hex SHA-256 of its token ids.
    """

    def __init__(
        self, blocks: TokenBlocks, rows: int, *, seed: int, name: str, fingerprint: str
    ) -> None:
        self.blocks, self.rows, self.seed = blocks, rows, seed
        self.name, self.fingerprint = name, fingerprint

    @property
    def tokens(self) -> int:
        """Targets in a batch of one process."""
        return self.rows * self.blocks.block_size

    def batches(
        self, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[list[TokenizedConversation]]:
        """Yield the windows of batch `start` and of all later ones, without end.

        Raises:
            DataError: the text has fewer windows than one batch of all processes.
        """
        order = TrainingOrder(
            len(self.blocks), self.rows, seed=self.seed, rank=rank, world_size=world_size
        )
        epoch, batch = divmod(start, len(order))
        while True:
            for numbers in order.batches(epoch, batch):
                windows = self.blocks.__getitems__(numbers)
                yield [_as_conversation(each) for each in windows.tolist()]
            epoch, batch = epoch + 1, 0


def _as_conversation(ids: list[int]) -> TokenizedConversation:
    return TokenizedConversation(ids, range(1, len(ids)), learned_bytes=0, row=NO_ROW)
