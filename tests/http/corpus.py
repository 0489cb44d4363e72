"""The corpus: every case, by topic."""

from __future__ import annotations

from . import corpus_chunks, corpus_fields, corpus_framing, corpus_limits, corpus_lines
from .cases import Case

CASES: list[Case] = [
    *corpus_lines.CASES,
    *corpus_fields.CASES,
    *corpus_framing.CASES,
    *corpus_chunks.CASES,
    *corpus_limits.CASES,
]
