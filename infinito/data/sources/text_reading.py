"""Strict UTF-8 reading of text files in pieces, and the finding of text files under a path."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infinito.errors import DataError
from infinito.storage import sha256_of_file
from infinito.wording import format_path

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
PIECE_CHARACTERS = 1 << 14
CUT_SEARCH_CHARACTERS = 1 << 11
LINE_SEARCH_BYTES = 1 << 16
OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks of encodings that are not read. UTF-32's begins with, or holds, NUL bytes."""

# A cut here leaves the tokens of byte-level BPE as they are without the cut, as a cut next to
# several white spaces would not.
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?=[ \n]\S)")


class FoundFiles(NamedTuple):
    """The files that a path names.

    Attributes:
        files: sorted by path.
        skipped: what lies there and is not read, each with its reason, e.g. "a (leads nowhere)".
    """

    files: list[Path]
    skipped: list[str]


def find_text_files(path: str | Path) -> FoundFiles:
    """Return the files that a file, folder or glob names.

    A folder is searched recursively for .txt, .text, .md and .rst; hidden files are passed over.
    Links to folders are followed; a folder that several ways lead to is read once.

    Raises:
        DataError: nothing is there.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return FoundFiles([place], [])
    if place.is_dir():
        return _files_of_folder(place)
    if glob.has_magic(str(path)):
        return _files_of_glob(place)
    if place.exists():
        raise DataError(
            f"data.path={format_path(path)} is neither a file nor a folder. Write the text into a "
            "file first and name it, e.g. data.path=text.txt."
        )
    raise DataError(
        f"data.path={format_path(path)} does not exist. Expected a text file, a folder or a glob, "
        "e.g. data.path=/path/to/text.txt."
    )


def hash_bytes(path: Path, start: int = 0, stop: int | None = None) -> str:
    """Return the hex SHA-256 of the bytes `start:stop` of a text file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return sha256_of_file(path, start, stop)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_text(path: Path, start: int = 0, stop: int | None = None) -> Iterator[str]:
    """Yield the text of the bytes `start:stop` in pieces of about 16,000 characters.

    Pieces end between words where there are any, so that encoding them one by one gives the tokens
    of the whole. A byte order mark at the start of the file is dropped; line ends stay.

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


def cut_text(text: str) -> Iterator[str]:
    """Yield the consecutive pieces of a text that is at hand, cut as `read_text` cuts."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        cut = start + _piece_end(text[start : start + PIECE_CHARACTERS])
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


def find_line_end(path: Path, offset: int, start: int = 0) -> int:
    """Return the largest byte offset in (`start`, `offset`] that follows a line end.

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


def _files_of_folder(folder: Path) -> FoundFiles:
    found, skipped = _walk(folder)
    if files := [path for path in found if path.suffix.lower() in TEXT_SUFFIXES]:
        return FoundFiles(files, skipped)
    others = Counter(path.suffix or "no suffix" for path in found)
    there = ", ".join(f"{count} × {suffix}" for suffix, count in others.most_common(5)) or "nothing"
    name = format_path(folder)
    raise DataError(
        f"data.path={name} is a folder without text files: expected {', '.join(TEXT_SUFFIXES)}, "
        f"found {there}{describe_skipped(skipped, '; skipped ')}. Name other files with a glob, "
        f"e.g. data.path='{name}/**/*.log'."
    )


def _files_of_glob(pattern: Path) -> FoundFiles:
    """Return the files that match; `**` is walked here, because glob follows links without end."""
    parts = pattern.parts
    if "**" in parts:
        fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:fixed])
        found, skipped = _walk(root)
        files = [path for path in found if _matches(path.relative_to(root).parts, parts[fixed:])]
    else:
        matches = sorted(Path(match) for match in glob.glob(str(pattern)))
        files = [match for match in matches if match.is_file()]
        skipped = [f"{format_path(m)} (leads nowhere)" for m in matches if not m.exists()]
    if files:
        return FoundFiles(files, skipped)
    raise DataError(
        f"data.path={format_path(pattern)} matches no file"
        f"{describe_skipped(skipped, '; skipped ')}. Check the pattern: data.path='<glob>'."
    )


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Say whether the parts of a path match those of a glob, of which `**` takes any number."""
    if not pattern:
        return not parts
    if pattern[0] == "**" and _matches(parts, pattern[1:]):
        return True
    if not parts or (pattern[0] != "**" and not fnmatch.fnmatchcase(parts[0], pattern[0])):
        return False
    return _matches(parts[1:], pattern if pattern[0] == "**" else pattern[1:])


def describe_skipped(skipped: list[str], prefix: str, most: int = 5) -> str:
    """Return `prefix` and the first few entries, or nothing where nothing was skipped."""
    if not skipped:
        return ""
    more = f" and {len(skipped) - most} more" if len(skipped) > most else ""
    return f"{prefix}{', '.join(skipped[:most])}{more}"


def _walk(folder: Path) -> FoundFiles:
    """Return every file below `folder` that is not hidden.

    Real folders come before links to folders, so that a file keeps the path that it has without
    the links, and with it its split.
    """
    files: list[Path] = []
    skipped: list[str] = []
    read: set[Path] = set()
    waiting: list[Path] = [folder]
    links: list[Path] = []
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        if (real := place.resolve()) in read:
            skipped.append(f"{format_path(place)} (links to a folder that is read already)")
            continue
        read.add(real)
        try:
            entries = sorted(place.iterdir())
        except OSError as error:
            skipped.append(f"{format_path(place)} ({error.strerror})")
            continue
        for entry in (entry for entry in entries if not entry.name.startswith(".")):
            if entry.is_file():
                files.append(entry)
            elif entry.is_dir():
                (links if entry.is_symlink() else waiting).append(entry)
            else:
                nowhere = entry.is_symlink() and not entry.exists()
                reason = "leads nowhere" if nowhere else "is no regular file"
                skipped.append(f"{format_path(entry)} ({reason})")
    return FoundFiles(sorted(files), skipped)


def _decoded(path: Path, start: int, stop: int | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    position = start
    try:
        stop = path.stat().st_size if stop is None else stop
        with path.open("rb") as file:
            file.seek(start)
            while position < stop:
                chunk = file.read(min(LINE_SEARCH_BYTES, stop - position))
                if position == 0 and (encoding := OTHER_ENCODINGS.get(chunk[:2])):
                    raise _of_another_encoding(path, encoding)
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
        raise _unreadable(path, error) from error


def _piece_end(text: str) -> int:
    gaps = _BETWEEN_WORDS.finditer(text, PIECE_CHARACTERS - CUT_SEARCH_CHARACTERS, PIECE_CHARACTERS)
    return max((gap.start() for gap in gaps), default=PIECE_CHARACTERS)


def _continues_a_character(byte: bytes) -> bool:
    return bool(byte) and 0x80 <= byte[0] < 0xC0


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"Cannot read {format_path(path)}: {error.strerror}. Check data.path.")


def _binary(path: Path, offset: int) -> DataError:
    return DataError(
        f"{format_path(path)} is not text: it has a NUL byte at byte {offset}. Expected UTF-8 "
        "text; name another file with data.path=<file>."
    )


def _of_another_encoding(path: Path, encoding: str) -> DataError:
    return DataError(
        f"{format_path(path)} is {encoding.upper()}, as its byte order mark says; expected UTF-8. "
        f"{_conversion(path, encoding)}"
    )


def _not_utf8(path: Path, offset: int, byte: int) -> DataError:
    return DataError(
        f"{format_path(path)} is not UTF-8: byte 0x{byte:02x} at byte {offset} cannot be decoded. "
        f"{_conversion(path, 'latin1')}"
    )


def _conversion(path: Path, encoding: str) -> str:
    return (
        f"Convert the file, e.g. `iconv -f {encoding} -t utf-8 "
        f"{shlex.quote(format_path(path.name))} > utf8.txt`, and pass data.path=utf8.txt."
    )
