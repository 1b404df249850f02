"""Where text and tokens come from; each source knows its splits and its fingerprint."""

from infinito.data.sources.markov import MarkovSource
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.sources.source import SPLITS, Split, TextSource
from infinito.data.sources.text_files import TextFiles
from infinito.data.sources.wikitext2 import WikiText2

__all__ = ["SPLITS", "MarkovSource", "PythonDocs", "Split", "TextFiles", "TextSource", "WikiText2"]
