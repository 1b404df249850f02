"""A tokenizer that exists already, from a folder, a tokenizer.json or the hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.errors import DataError
from infinito.hub import names_a_folder, require_hub, unreachable


@dataclass(frozen=True)
class PretrainedTokenizer(TokenizerSpec):
    """Any Hugging Face fast tokenizer, unchanged; documents end with its own eos token.

    Args:
        path: folder that `save_pretrained` wrote, a tokenizer.json, or a hub id (`owner/name`).
    """

    path: str

    is_trained = False

    def build(
        self,
        pieces: Iterable[str] = (),  # noqa: ARG002
        *,
        separates_documents: bool = False,  # noqa: ARG002
    ) -> PreTrainedTokenizerFast:
        """Return the tokenizer.

        Raises:
            DataError: the path has no tokenizer that can be read.
            HubError: the hub id could not be reached.
        """
        is_local = names_a_folder(self.path)
        tokenizer = self._from_path() if is_local else self._from_hub()
        if isinstance(tokenizer, PreTrainedTokenizerFast):
            return tokenizer
        raise DataError(
            f"tokenizer.path={self.path} is a {type(tokenizer).__name__}, which has no fast "
            "version. Choose one with a tokenizer.json."
        )

    def _from_path(self) -> PreTrainedTokenizerBase:
        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(
                f"tokenizer.path={self.path} does not exist. Expected a folder with tokenizer.json "
                "or a hub id such as tokenizer.path=openai-community/gpt2."
            )
        try:
            if path.is_file():
                return PreTrainedTokenizerFast(tokenizer_file=str(path))
            return AutoTokenizer.from_pretrained(
                str(path), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            raise DataError(
                f"tokenizer.path={self.path} holds no tokenizer that can be read: {error}. "
                "Expected a tokenizer.json or a folder that save_pretrained wrote."
            ) from error

    def _from_hub(self) -> PreTrainedTokenizerBase:
        wanted = f"tokenizer {self.path}", "tokenizer.path=<folder with tokenizer.json>"
        require_hub(*wanted)
        try:
            return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise unreachable(*wanted, str(error)) from error
