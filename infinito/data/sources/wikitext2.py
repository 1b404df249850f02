"""WikiText-2, the word-level benchmark of Wikipedia articles, from a folder or the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from infinito.config.data import WIKITEXT2_ID
from infinito.data.sources.source import Split, TextSource, digest
from infinito.data.sources.text_reading import find_line_end, hash_bytes, read_text
from infinito.errors import DataError
from infinito.hub import Wanted, names_a_folder, open_data_set

HUB_CONFIG = "wikitext-2-v1"

FILE_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train.txt", "wiki.train.tokens", "wiki.train.raw"),
    "valid": ("valid.txt", "validation.txt", "wiki.valid.tokens", "wiki.valid.raw"),
    "test": ("test.txt", "wiki.test.tokens", "wiki.test.raw"),
}


class WikiText2(TextSource):
    """WikiText-2 with its published splits, each one continuous stream of lines.

    With the `word` tokenizer every line ends with `<eos>`, blank lines too, and `<eos>` counts as a
    word: the usual convention of word-level perplexity, 217,646 words in the validation split.

    Args:
        path: folder with the splits as train.txt, valid.txt, test.txt (or wiki.train.tokens …), or
            the id of a data set on the hub with splits train, validation, test and a column `text`.
        revision: branch, tag or commit of a data set on the hub.
        max_bytes: upper limit of the training split, cut at a line end. The others stay whole, so
            that their perplexity can be compared.

    Source: Merity et al., "Pointer Sentinel Mixture Models", arXiv:1609.07843.
    """

    name = "wikitext2"
    description = "WikiText-2, Wikipedia articles with a closed vocabulary of 33,278 words"
    licence = "CC BY-SA 3.0"
    separates_documents = False

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        revision: str | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.path, self.revision = str(path or WIKITEXT2_ID), revision
        self.max_bytes = max_bytes
        self._fingerprints: dict[Split, str] = {}

    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        if names_a_folder(self.path):
            path, stop = self._file(split)
            yield read_text(path, 0, stop)
        else:
            yield self._hub_lines(split)

    def fingerprint(self, split: Split) -> str:
        if split not in self._fingerprints:
            if names_a_folder(self.path):
                path, stop = self._file(split)
                content = hash_bytes(path, 0, stop)
            else:
                content = _sha256_of_lines(self._hub_lines(split))
            self._fingerprints[split] = digest(self.name, content)
        return self._fingerprints[split]

    def _file(self, split: Split) -> tuple[Path, int]:
        """Return the file of a split and the byte at which to end."""
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"data.path={self.path} is no folder. Expected one with train.txt and valid.txt, "
                f"or a hub id such as data.path={WIKITEXT2_ID}."
            )
        for name in FILE_NAMES[split]:
            if (path := folder / name).is_file():
                size = path.stat().st_size
                limit = size if self.max_bytes is None or split != "train" else self.max_bytes
                return path, size if limit >= size else find_line_end(path, limit)
        raise DataError(
            f"{folder} has no {split} split: expected a file named "
            f"{' or '.join(FILE_NAMES[split])}. Add it, or choose another folder with "
            "data.path=<folder>."
        )

    def _hub_lines(self, split: Split) -> Iterator[str]:
        local = "<folder with train.txt and valid.txt>"
        wanted = Wanted(self.path, self.revision, "dataset", "data set", "data.path", local)
        hub_split = "validation" if split == "valid" else split
        config = HUB_CONFIG if self.path == WIKITEXT2_ID else None
        rows = open_data_set(wanted, config, split=hub_split)
        limit = self.max_bytes if split == "train" else None
        yield from restore_lines((row["text"] for row in rows), limit)


def restore_lines(rows: Iterable[str], max_bytes: int | None = None) -> Iterator[str]:
    """Yield the lines of the original files from the rows of the hub, where a blank line is ""."""
    total = 0
    for row in rows:
        line = row if row.endswith("\n") else f"{row or ' '}\n"
        total += len(line.encode())
        if max_bytes is not None and total > max_bytes:
            return
        yield line


def _sha256_of_lines(lines: Iterable[str]) -> str:
    content = hashlib.sha256()
    for line in lines:
        content.update(line.encode())
    return content.hexdigest()
