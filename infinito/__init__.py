"""infinito: small-language-model research in which every claim is held against its control."""

__version__ = "0.2.0.dev0"
