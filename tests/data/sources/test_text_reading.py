"""Strict reading in pieces, and every kind of file that is not text."""

import os
from pathlib import Path

import pytest

from infinito.data.sources.text_reading import (
    PIECE_CHARACTERS,
    find_line_end,
    find_text_files,
    hash_bytes,
    read_text,
)
from infinito.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "a.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


TEXTS = {
    "lines": "".join(f"line {n} ünï 中文 🎈\n" for n in range(20_000)),
    "blank lines": "word\n\n\n  indented\n" * 5000,
    "one long line": "word and word " * 20_000,
    "no space at all": "é" * 100_000,
    "short": "ab",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pieces_join_to_the_text_and_stay_small(write, text):
    pieces = list(read_text(write(text.encode())))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= PIECE_CHARACTERS


def test_pieces_end_between_words(write):
    pieces = list(read_text(write(TEXTS["lines"].encode())))
    assert len(pieces) > 1
    assert not any(piece[-1].isspace() for piece in pieces[:-1])
    assert all(piece[0].isspace() and not piece[1].isspace() for piece in pieces[1:])


def test_line_ends_are_kept_and_a_byte_order_mark_is_not(write):
    assert "".join(read_text(write(b"\xef\xbb\xbfa\r\nb\n"))) == "a\r\nb\n"


def test_a_range_of_bytes(write):
    assert "".join(read_text(write(b"abc\ndef\nghi"), 4, 8)) == "def\n"


@pytest.mark.parametrize("before", [0, 10, 65_535, 65_536, 200_000])
def test_bytes_that_are_not_utf8_are_named_with_their_offset(write, before):
    path = write(b"a" * before + "é".encode("latin-1") + b"b")
    message = rf"a\.txt is not UTF-8: byte 0xe9 at byte {before} .*iconv.*data\.path=utf8\.txt"
    with pytest.raises(DataError, match=message):
        list(read_text(path))


def test_a_character_cut_off_at_the_end_is_named(write):
    with pytest.raises(DataError, match="byte 0xe4 at byte 3"):
        list(read_text(write("abc中".encode()[:-1])))


@pytest.mark.parametrize("before", [0, 100_000])
def test_a_binary_file_is_named_with_the_offset_of_its_first_nul(write, before):
    path = write(b"a" * before + b"\0" + b"b")
    with pytest.raises(DataError, match=rf"not text: .*NUL byte at byte {before}\. .*data\.path="):
        list(read_text(path))


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("ab\ncd\nef", 7, 6),
        ("ab\ncd\nef", 6, 6),
        ("ab\ncd\nef", 5, 3),
        ("ab cd", 4, 3),
        ("ééé", 3, 2),
        ("abc", 2, 2),
        ("abc", 0, 0),
        ("a" * 70_000, 66_000, 66_000),
    ],
)
def test_cuts_fall_on_line_ends_else_spaces_else_characters(write, text, offset, expected):
    assert find_line_end(write(text.encode()), offset) == expected


def test_a_folder_is_searched_for_text_and_hidden_files_are_passed_over(write, tmp_path):
    names = ["b.txt", "deep/er/c.md", "d.rst", "image.png", ".hidden.txt", ".git/e.txt"]
    paths = [write(b"x", name) for name in names]
    assert find_text_files(tmp_path).files == sorted(paths[:3])


def test_a_glob_takes_any_suffix(write, tmp_path):
    wanted = [write(b"x", name) for name in ("a.log", "deep/b.log")]
    write(b"x", "c.txt")
    write(b"x", ".hidden.log")
    assert find_text_files(f"{tmp_path}/**/*.log").files == wanted
    assert find_text_files(f"{tmp_path}/d*/**").files == wanted[1:]
    assert find_text_files(f"{tmp_path}/*.log").files == wanted[:1]


def test_a_name_with_letters_of_all_kinds(write):
    path = write(b"x", "ñandú [1].txt")
    assert find_text_files(path).files == [path]


def test_linked_folders_are_read_once_and_loops_end(write, tmp_path):
    real = [write(b"x", name) for name in ("data/a.txt", "data/z/b.txt")]
    outside = write(b"x", "outside/c.txt")
    folder = tmp_path / "data"
    (folder / "aa").symlink_to(folder / "z")
    (folder / "loop").symlink_to(folder)
    (folder / "more").symlink_to(outside.parent)
    (outside.parent / "back").symlink_to(tmp_path)
    for path in (folder, f"{folder}/**/*.txt"):
        found = find_text_files(path)
        assert found.files == sorted([*real, folder / "more/c.txt"])
        skipped = ["aa", "loop", "more/back/data", "more/back/outside"]
        assert sorted(found.skipped) == [
            f"{folder / name} (links to a folder that is read already)" for name in skipped
        ]


def test_what_cannot_be_read_in_a_folder_is_named(write, tmp_path):
    write(b"x")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.txt")
    assert find_text_files(tmp_path).skipped == [
        f"{tmp_path}/gone.txt (leads nowhere)",
        f"{tmp_path}/pipe.txt (is no regular file)",
    ]


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe is neither a file nor a folder.*data\.path=text"):
        find_text_files(tmp_path / "pipe")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_of_utf16_is_named(write, encoding):
    path = write("\ufeffabc".encode(encoding), "my text.txt")
    message = r"is UTF-16, as its byte order mark says.*iconv -f utf-16 -t utf-8 'my text\.txt'"
    with pytest.raises(DataError, match=message):
        list(read_text(path))


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_bytes(b"\0")
    with pytest.raises(DataError, match=r"caf\\xe9\.txt is not text"):
        list(read_text(path))


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Cannot read .*a\.txt: No such file"):
        hash_bytes(tmp_path / "a.txt")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.path=.*/no\.txt does not exist.*e\.g\. data\.path"):
        find_text_files(tmp_path / "no.txt")


def test_a_glob_without_a_match_is_named(tmp_path):
    with pytest.raises(DataError, match=r"matches no file"):
        find_text_files(f"{tmp_path}/*.txt")


def test_a_folder_without_text_says_what_it_has(write, tmp_path):
    for name in ("a.csv", "b.csv", "c"):
        write(b"x", name)
    message = r"folder without text files: .*2 × \.csv, 1 × no suffix.*data\.path='.*\*\.log'"
    with pytest.raises(DataError, match=message):
        find_text_files(tmp_path)
