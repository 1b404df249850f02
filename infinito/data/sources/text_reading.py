"""Strict UTF-8 reading of text files in pieces, and the finding of text files under a path."""

from __future__ import annotations

import codecs
import glob
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from infinito.errors import DataError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
PIECE_CHARACTERS = 1 << 14
CUT_SEARCH_CHARACTERS = 1 << 11
LINE_SEARCH_BYTES = 1 << 16

# A cut here leaves the tokens of byte-level BPE as they are without the cut, as a cut next to
# several white spaces would not.
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?=[ \n]\S)")


def find_text_files(path: str | Path) -> list[Path]:
    """Returns the files that a file, folder or glob names, sorted by path.

    A folder is searched recursively for .txt, .text, .md and .rst; hidden files are passed over.

    Raises:
        DataError: nothing is there.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    if place.is_dir():
        return _files_of_folder(place)
    if glob.has_magic(str(path)):
        matches = sorted(Path(m) for m in glob.glob(str(place), recursive=True))
        if files := [match for match in matches if match.is_file()]:
            return files
        raise DataError(f"data.path={path} matches no file. Check the pattern: data.path='<glob>'.")
    raise DataError(
        f"data.path={path} does not exist. Expected a text file, a folder or a glob, "
        "e.g. data.path=/path/to/text.txt."
    )


def read_text(path: Path, start: int = 0, stop: int | None = None) -> Iterator[str]:
    """Yields the text of the bytes `start:stop` in pieces of about 16,000 characters.

    Pieces end between words where there are any, so that encoding them one by one gives the tokens
    of the whole. A byte order mark at the start
    of the file is dropped; line ends stay as they are.

    Raises:
        DataError: bytes that are not UTF-8, or a NUL byte, with the file and the byte offset.
    """
    held = ""
    for text in _decoded(path, start, stop):
        held += text
        while len(held) > PIECE_CHARACTERS:
            cut = _piece_end(held)
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def line_end_before(path: Path, offset: int, start: int = 0) -> int:
    """Returns the largest byte offset in (`start`, `offset`] that follows a line end.

    Looks back at most 64 KiB; without a line end there it takes the last space, else the last
    character boundary.
    """
    low = max(start, offset - LINE_SEARCH_BYTES)
    with path.open("rb") as file:
        file.seek(low)
        window = file.read(offset - low + 1)
    before = window[: offset - low]
    for mark in (b"\n", b" "):
        if (found := before.rfind(mark)) >= 0:
            return low + found + 1
    while offset > low and _continues_a_character(window[offset - low : offset - low + 1]):
        offset -= 1
    return offset


def _files_of_folder(folder: Path) -> list[Path]:
    seen = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    if files := [path for path in seen if path.suffix.lower() in TEXT_SUFFIXES]:
        return files
    others = Counter(path.suffix or "no suffix" for path in seen)
    found = ", ".join(f"{count} × {suffix}" for suffix, count in others.most_common(5)) or "nothing"
    raise DataError(
        f"data.path={folder} is a folder without text files: expected {', '.join(TEXT_SUFFIXES)}, "
        f"found {found}. Name other files with a glob, e.g. data.path='{folder}/**/*.log'."
    )


def _decoded(path: Path, start: int, stop: int | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    position = start
    try:
        stop = path.stat().st_size if stop is None else stop
        with path.open("rb") as file:
            file.seek(start)
            while position < stop:
                chunk = file.read(min(LINE_SEARCH_BYTES, stop - position))
                if (nul := chunk.find(b"\0")) >= 0:
                    raise _binary(path, position + nul)
                pending = len(decoder.getstate()[0])
                position += len(chunk)
                text = decoder.decode(chunk, final=not chunk or position >= stop)
                yield text.removeprefix("\ufeff") if position == len(chunk) else text
                if not chunk:
                    return
    except UnicodeDecodeError as error:
        offset = position - len(chunk) - pending + error.start
        raise _not_utf8(path, offset, error.object[error.start]) from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Check data.path.") from error


def _piece_end(text: str) -> int:
    gaps = _BETWEEN_WORDS.finditer(text, PIECE_CHARACTERS - CUT_SEARCH_CHARACTERS, PIECE_CHARACTERS)
    return max((gap.start() for gap in gaps), default=PIECE_CHARACTERS)


def _continues_a_character(byte: bytes) -> bool:
    return bool(byte) and 0x80 <= byte[0] < 0xC0


def _binary(path: Path, offset: int) -> DataError:
    return DataError(
        f"{path} is not text: it has a NUL byte at byte {offset}. Expected UTF-8 text; name "
        "another file with data.path=<file>."
    )


def _not_utf8(path: Path, offset: int, byte: int) -> DataError:
    return DataError(
        f"{path} is not UTF-8: byte 0x{byte:02x} at byte {offset} cannot be decoded. Convert the "
        f"file, e.g. `iconv -f latin1 -t utf-8 {path.name} > utf8.txt`, and pass "
        "data.path=utf8.txt."
    )
