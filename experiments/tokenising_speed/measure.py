"""Speed and memory of reading and tokenising a column of text, against datasets with tokenizers.

    python experiments/tokenising_speed/measure.py [--mb 64 256] [--read-mb 2000]

Writes a Parquet file of pieces of Python's documentation for each size, tokenises it by the code of
`data=hub` and by `datasets.map`, and deletes it. Each measurement is a process of its own, whose
tokenizer uses one thread; its row goes into results.csv beside this file as it ends, and none that
has a row is repeated.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, disable_progress_bars, load_dataset
from transformers import PreTrainedTokenizerFast

from infinito.data.datamodule import LanguageDataModule
from infinito.data.encoding import count_ids, encode_documents, id_dtype, plain_backend
from infinito.data.sources.hub_text import HubText
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.token_cache import TokenCache
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.paths import cache_dir

RESULTS = Path(__file__).parent / "results.csv"
ROWS_OF_A_GROUP = 1000
MEGABYTE = 1_000_000
VOCAB = 8192


def main() -> None:
    """Measure what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mb", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--read-mb", type=int, default=2000, help="read only, for its memory")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, file = arguments.child
        print(json.dumps(measure(MEASURED[what], Path(file))))
        return
    todo = [(size, what) for size in arguments.mb for what in ("infinito", "datasets")]
    todo += [(arguments.read_mb, "infinito, reading only")]
    for size, what in todo:
        record(size, what)


def record(size: int, what: str) -> None:
    """Append the row of a measurement, unless it is there."""
    rows = []
    if RESULTS.exists():
        with RESULTS.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if any((row["mb"], row["what"]) == (str(size), what) for row in rows):
        return
    with tempfile.TemporaryDirectory() as folder:
        parquet = Path(folder) / "text.parquet"
        write_documents(parquet, size * MEGABYTE)
        command = [sys.executable, __file__, "--child", what, str(parquet)]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1", "HF_HOME": folder}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    row = {"mb": size, "what": what, **json.loads(done.stdout.splitlines()[-1])}
    print(row, flush=True)
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if not rows:
            writer.writeheader()
        writer.writerow(row)


def write_documents(path: Path, size: int) -> None:
    """Write rows of 1 to 5 kB until they hold `size` bytes; no two are equal."""
    text = "\n".join(PythonDocs(cache_dir=cache_dir(None)).pieces("train"))
    draw = random.Random(0)
    schema = pa.schema([("text", pa.string())])
    written = number = 0
    with pq.ParquetWriter(path, schema, use_dictionary=False) as file:
        while written < size:
            rows = []
            for _ in range(ROWS_OF_A_GROUP):
                start = draw.randrange(len(text) - 5000)
                rows.append(f"{number}. {text[start : start + draw.randrange(1000, 5000)]}")
                number += 1
            written += sum(len(row.encode()) for row in rows)
            file.write_table(pa.table({"text": rows}, schema))


def measure(work: Callable[[Path], int], file: Path) -> dict[str, float]:
    """Return CPU seconds, tokens, and peak memory above what imports and the tokenizer take."""
    build_tokenizer()
    before = psutil.Process().memory_info().rss
    started_s = time.process_time()
    tokens = work(file)
    spent_s = time.process_time() - started_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "cpu_s": round(spent_s, 1),
        "tokens": tokens,
        "mib_above_imports": round((peak - before) / 2**20),
    }


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of both sides, trained on Python's documentation and kept."""
    cache = cache_dir(None)
    source = PythonDocs(cache_dir=cache)
    data = LanguageDataModule(
        source, BpeTokenizer(VOCAB), block_size=8, batch_size=1, cache_dir=cache
    )
    return data.tokenizer


def tokenise_by_infinito(file: Path) -> int:
    """Take the fingerprint of the file and write its tokens into a cache, as a training does."""
    tokenizer = build_tokenizer()
    source = HubText(str(file), valid_fraction=0.0, test_fraction=0.0)
    key = source.fingerprint("train")
    cache = TokenCache(file.parent / "cache")
    dtype = id_dtype(count_ids(tokenizer))

    def chunks() -> Iterator[object]:
        return encode_documents(tokenizer, source.documents("train"), separates_documents=True)

    return cache.tokens(key, dtype, chunks).meta.tokens  # type: ignore[arg-type]


def tokenise_by_datasets(file: Path) -> int:
    """Map the tokenizer over the file and let `datasets` keep what it returns on disk."""
    disable_progress_bars()
    tokenizer = build_tokenizer()
    backend, end = plain_backend(tokenizer), tokenizer.eos_token_id

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        found = backend.encode_batch_fast(batch["text"], add_special_tokens=False)
        return {"ids": [[*each.ids, end] for each in found]}

    rows = load_dataset("parquet", data_files=str(file), split="train")
    assert isinstance(rows, Dataset)
    mapped = rows.map(encode, batched=True, remove_columns=["text"])
    return sum(len(batch["ids"].flatten()) for batch in _tables(mapped))


def _tables(rows: Dataset) -> Iterator[dict[str, pa.ListArray]]:
    for batch in rows.with_format("arrow").iter(1000):
        yield {"ids": batch["ids"].combine_chunks()}


def read_by_infinito(file: Path) -> int:
    """Read all rows for their fingerprint; return 0 tokens."""
    HubText(str(file), valid_fraction=0.0, test_fraction=0.0).fingerprint("train")
    return 0


MEASURED = {
    "infinito": tokenise_by_infinito,
    "datasets": tokenise_by_datasets,
    "infinito, reading only": read_by_infinito,
}


if __name__ == "__main__":
    main()
