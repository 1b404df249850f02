"""The files that the pages name, written as the pages describe them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.docs.reading import PAGES, list_blocks

SENTENCE = "In line {} the cat sat on the mat and {} dogs looked at it for a while.\n"


def read_language(language: str) -> list[str]:
    """Return the code of one language on all pages."""
    return [each.text for page in PAGES for each in list_blocks(page) if each.language == language]


def write_files(folder: Path) -> None:
    """Write the files that the pages name, with what the pages say of them."""
    text = "".join(SENTENCE.format(number, number * number) for number in range(600))
    (folder / "notes").mkdir()
    for name in "abcdef":
        (folder / f"notes/{name}.txt").write_text(text.replace("cat", f"cat {name}"))
    (folder / "book.txt").write_text(text * 2)
    (folder / "notes.txt").write_text(text)
    rows = [{"text": SENTENCE.format(number, 2 * number) * 20} for number in range(30)]
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if find_spec("pyarrow"):
        save_parquet([row["text"] for row in rows], folder / "stories.parquet")
    rows_shown = {line for text in read_language("json") for line in text.splitlines()}
    for row in sorted(rows_shown):
        file = folder / ("pairs.jsonl" if "chosen" in row else "chats.jsonl")
        with file.open("a") as lines:
            for number in range(12):
                lines.write(re.sub(r"2( \+ | and )2", rf"{number}\g<1>2", row) + "\n")
    (folder / "questions.txt").write_text("What is 2 + 2?\nAnd 3?\n")
    (folder / "tasks").mkdir()
    for task in read_language("yaml"):
        here = task.replace("/data/my_text.jsonl", str(folder / "records.jsonl"))
        (folder / "tasks/my_text.yaml").write_text(here)
        (folder / "tasks/mine.yaml").write_text(here.replace("my_text", "mine"))


def save_parquet(texts: Sequence[str], path: Path) -> None:
    """Save a Parquet file of one column, `text`."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": texts}), path)


TEMPLATE = "{% for each in messages %}{{ each.role }}: {{ each.content }}\n{% endfor %}"


def save_model(architecture: str, tokenizer: Path, folder: Path) -> None:
    """Save a tiny "llama" or "qwen2" with random weights, and another model's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.for_model(
        architecture, vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    borrowed = AutoTokenizer.from_pretrained(tokenizer)
    if architecture == "qwen2":
        borrowed.chat_template = TEMPLATE
    borrowed.save_pretrained(folder)
