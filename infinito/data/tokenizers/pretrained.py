"""A tokenizer that exists already, from a folder, a tokenizer.json or the hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.errors import DataError
from infinito.hub import TOKENIZER_FILES, Wanted, download, names_a_folder


@dataclass(frozen=True)
class PretrainedTokenizer(TokenizerSpec):
    """Any Hugging Face fast tokenizer, unchanged; documents end with its own eos token.

    Args:
        path: folder that `save_pretrained` wrote, a tokenizer.json, or a hub id (`owner/name`).
        revision: branch, tag or commit of a hub id.
    """

    path: str
    revision: str | None = None

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
        tokenizer = self._open(self._find())
        if isinstance(tokenizer, PreTrainedTokenizerFast):
            return tokenizer
        raise DataError(
            f"tokenizer.path={self.path} is a {type(tokenizer).__name__}, which has no fast "
            "version. Choose one with a tokenizer.json."
        )

    def _find(self) -> Path:
        if not names_a_folder(self.path):
            local = "<folder with tokenizer.json>"
            key = "tokenizer.path"
            wanted = Wanted(self.path, self.revision, "model", "tokenizer", key, local)
            return download(wanted, TOKENIZER_FILES)
        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(
                f"tokenizer.path={self.path} does not exist. Expected a folder with tokenizer.json "
                "or a hub id such as tokenizer.path=openai-community/gpt2."
            )
        return path

    def _open(self, path: Path) -> PreTrainedTokenizerBase:
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
