"""From audited utterances to classes and annotators' distributions under a label scheme, every loss counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_bench.corpora.audit import Audit
from ser_bench.emotions import DimensionScheme, Scheme, read_votes
from ser_bench.errors import DataError
from ser_bench.utterances import UtteranceTable

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a scheme makes of a corpus's usable utterances.

    Attributes:
        classes: Class index per row of the audit's table, -1 where the scheme drops it, shape (n_usable,). Of schemes
            of numbers it is the level.
        dropped: Reason -> utterances that are not used, the audit's reasons included; with those that are kept
            they add up to what the audit found.
        merged: ``calm→neutral`` -> kept utterances that are counted as another class.
    """

    classes: NDArray[np.int64]
    dropped: dict[str, int]
    merged: dict[str, int]


def label(found: Audit, scheme: Scheme) -> Labelled:
    """Return the classes of a corpus's usable utterances, and what is lost.

    Raises:
        DataError: If the scheme refuses an emotion, or needs a scale that the corpus does not state.
    """
    values = found.table.column(scheme.column)
    if isinstance(scheme, DimensionScheme):
        indices = scheme.class_indices(list(values), _scale(found, scheme, values))
    else:
        indices = scheme.class_indices(list(values))
    classes = np.array(indices, dtype=np.int64)
    left_out = Counter(scheme.reason(value) for value in values[classes < 0])
    return Labelled(
        classes=classes,
        dropped={**found.dropped, **dict(sorted(left_out.items()))},
        merged=scheme.merged(values[classes >= 0]),
    )


def vote_shares(table: UtteranceTable, scheme: Scheme) -> Float64 | None:
    """Return what the annotators of each utterance said, as shares of the scheme's classes.

    Returns:
        Shape (n_utterances, n_classes), rows summing to 1; NaN in rows without a vote on a class. None where no
        utterance has one, and for dimensions, which have no votes.

    Raises:
        DataError: If a cell of ``votes`` is no such JSON text; the message names the utterance.
    """
    if isinstance(scheme, DimensionScheme):
        return None
    codes, texts = pd.factorize(table.frame["votes"])
    shares = np.full((len(texts) + 1, len(scheme.classes)), np.nan)  # the last row is that of code -1: no votes
    for code, text in enumerate(texts):
        try:
            found = scheme.shares(read_votes(text))
        except ValueError as error:
            raise DataError(
                f"{table.frame['utterance_id'][codes == code].iloc[0]}: votes {text[:80]!r}: {error}",
                hint='a cell such as {"angry": 3, "sad": 1}: canonical emotion -> number of votes',
            ) from None
        if found is not None:
            shares[code] = found
    return None if np.isnan(shares).all() else shares[codes]


def in_numbers(scheme: Scheme) -> bool:
    """Whether models are asked for numbers, not for classes."""
    return isinstance(scheme, DimensionScheme) and scheme.numbers


def ratings_of(table: UtteranceTable, scheme: Scheme) -> Float64 | None:
    """Return the number of each utterance, shape (n_utterances,), under a scheme of numbers; else None."""
    return np.array(table.column(scheme.column), dtype=np.float64) if in_numbers(scheme) else None


def refuse_unequal_scales(audits: Sequence[Audit], scheme: Scheme) -> None:
    """Refuse numbers of several corpora that mean different things: levels can be compared then, numbers can't.

    Raises:
        DataError: If two corpora state other scales.
    """
    scales = {found.corpus.name: found.corpus.scales.get(scheme.column) for found in audits}
    if in_numbers(scheme) and len(set(scales.values())) > 1:
        stated = ", ".join(f"{name} {list(scale) if scale else 'none'}" for name, scale in scales.items())
        raise DataError(
            f"{scheme.column} has other scales in the corpora: {stated}", hint=f'labels = "{scheme.column}-3"'
        )


def _scale(found: Audit, scheme: DimensionScheme, values: Float64) -> tuple[float, float]:
    stated = found.corpus.scales.get(scheme.column)
    if stated is None and not np.isnan(values).all():
        raise DataError(
            f"{found.corpus.name} has values for {scheme.column}, and nothing states their scale",
            hint=f"in its corpus.toml, under [scales]: {scheme.column} = [1, 5]      (lowest, highest)",
        )
    return stated or scheme.scale
