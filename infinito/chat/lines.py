"""Reads what a person or a pipe says, line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

from infinito.errors import DataError

PROMPT = "> "
LONGEST_LINE = 1 << 20
"""Bytes of a line of a pipe: more is no message, but a file without line ends."""


def is_terminal() -> bool:
    """Return whether a person types the lines."""
    return sys.stdin is not None and sys.stdin.isatty()


def typed_lines() -> Iterator[str]:
    """Yield the lines typed at a terminal until Ctrl+D; Ctrl+C begins a line anew."""
    with suppress(ImportError):  # a Python that was built without it
        import readline  # noqa: F401  (`input` edits lines and keeps a history by it)
    while True:
        try:
            yield read_line()
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print("\n(Ctrl+D or /quit ends the program)", file=sys.stderr)
        except UnicodeDecodeError as error:
            print(f"error: the line is not UTF-8 at byte {error.start + 1}", file=sys.stderr)


def read_line() -> str:
    """Return a line of the terminal without its end.

    Raises:
        EOFError: Ctrl+D ended the input.
    """
    if sys.stdout.isatty():
        return input(PROMPT)
    print(PROMPT, end="", file=sys.stderr, flush=True)  # standard output is for answers alone
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def piped_lines() -> Iterator[str]:
    """Yield the lines of standard input, without their ends and a byte order mark.

    Raises:
        DataError: a line is not UTF-8, or longer than any message.
    """
    if sys.stdin is None:
        return
    number = 0
    while raw := sys.stdin.buffer.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            raise DataError(
                f"standard input: line {number} is longer than {LONGEST_LINE} bytes; each line is "
                "a message"
            )
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"standard input: line {number} is not UTF-8 at byte {error.start + 1}. Convert "
                "it, e.g. with `iconv -f latin1 -t utf-8`"
            ) from None
        yield line.rstrip("\r\n")
