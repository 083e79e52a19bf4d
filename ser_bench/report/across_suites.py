"""Mean ranks of models over suites, and which of them differ: Friedman's test, Iman and Davenport's, Nemenyi's.

Source: J. Demšar (2006), Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 1-30.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import msgspec

from ser_bench.report.parts import Board

MIN_SUITES = 3
MIN_MODELS = 3
LEVEL = 0.05


class MeanRanks(msgspec.Struct, frozen=True, kw_only=True):
    """Models by their mean rank over suites, the best (the lowest) first.

    ``ranks`` are in the order of ``models``; equal scores share the mean of their places. ``chi2`` and ``p_friedman``
    are Friedman's, corrected for ties; ``f`` and ``p`` Iman and Davenport's less cautious form of it (``f`` is null
    where all suites agree on a strict order, and ``p`` is 0 then). ``critical_difference`` is Nemenyi's at
    :data:`LEVEL`: models whose mean ranks are further apart differ. ``cliques`` are the largest sets of models within
    it; they mean something only where ``p`` is below :data:`LEVEL`.
    """

    models: tuple[str, ...]
    suites: tuple[str, ...]
    ranks: tuple[float, ...]
    chi2: float
    p_friedman: float
    f: float | None
    p: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]

    @property
    def differ(self) -> bool:
        """Whether the models can be told apart at all."""
        return self.p < LEVEL


def of_boards(boards: Sequence[Board]) -> MeanRanks | None:
    """Return the mean ranks over the suites of ``boards``; None where fewer than three models stand in three suites.

    A suite takes part with the ranked rows of its board, each model by the name of its row; where a board has several
    tables (one per pair of corpora), by its mean over all of them. Suites with fewer than three ranked models
    (controls, partial corpora, too few speakers) are left out, and so is each model that another suite lacks.
    """
    suites: dict[str, dict[str, float]] = {}
    for board in sorted(boards, key=lambda board: (board.suite.name, board.suite.version, board.suite.digest)):
        scores = _ranked(board)
        if len(scores) >= MIN_MODELS:
            suite = board.suite
            title = suite.name if suite.name not in suites else f"{suite.name} {suite.digest}"
            suites[title] = scores
    common = set.intersection(*map(set, suites.values())) if suites else set()
    if len(suites) < MIN_SUITES or len(common) < MIN_MODELS:
        return None
    return mean_ranks({suite: {name: of[name] for name in sorted(common)} for suite, of in suites.items()})


def mean_ranks(scores: Mapping[str, Mapping[str, float]]) -> MeanRanks | None:
    """Return the mean ranks of models over suites; None where all scores of every suite are equal.

    Args:
        scores: Suite -> model -> score, higher is better; every suite has the same models.

    Raises:
        ValueError: If there are fewer than three suites or models, or the suites' models differ.
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare, rankdata

    suites, models = sorted(scores), sorted(next(iter(scores.values()), {}))
    if len(suites) < MIN_SUITES or len(models) < MIN_MODELS or any(sorted(of) != models for of in scores.values()):
        raise ValueError(f"at least {MIN_SUITES} suites of the same {MIN_MODELS} or more models expected")
    table = [[scores[suite][model] for model in models] for suite in suites]
    ranks = [rankdata([-value for value in line]) for line in table]
    means = {model: fmean(float(line[i]) for line in ranks) for i, model in enumerate(models)}
    if all(len(set(line)) == 1 for line in table):
        return None
    chi2, p_friedman = map(float, friedmanchisquare(*zip(*table, strict=True)))
    n, k = len(suites), len(models)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else None
    order = sorted(models, key=lambda model: (round(means[model], 9), model))
    distance = critical_difference(k, n)
    return MeanRanks(
        models=tuple(order),
        suites=tuple(suites),
        ranks=tuple(means[model] for model in order),
        chi2=chi2,
        p_friedman=p_friedman,
        f=f,
        p=0.0 if f is None else float(f_distribution.sf(f, k - 1, (k - 1) * (n - 1))),
        critical_difference=distance,
        cliques=_cliques(order, [means[model] for model in order], distance),
    )


def critical_difference(n_models: int, n_suites: int) -> float:
    """Return how far apart two mean ranks must be to differ at :data:`LEVEL` by Nemenyi's test."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, n_models, math.inf)) / math.sqrt(2)
    return q * math.sqrt(n_models * (n_models + 1) / (6 * n_suites))


def _ranked(board: Board) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for table in board.tables:
        for row in table.rows:
            score = row.scores.get(board.suite.primary)
            if row.standing == "ranked" and score is not None and score.value is not None:
                found.setdefault(row.row, []).append(score.value)
    most = max(map(len, found.values()), default=0)
    return {name: fmean(values) for name, values in found.items() if len(values) == most}


def _cliques(models: Sequence[str], ranks: Sequence[float], distance: float) -> tuple[tuple[str, ...], ...]:
    """Return the runs of two or more neighbours within ``distance`` that no longer run holds."""
    ends = [max(j for j, rank in enumerate(ranks) if rank - first <= distance) for first in ranks]
    before = [-1, *ends]
    return tuple(tuple(models[i : end + 1]) for i, (last, end) in enumerate(pairwise(before)) if end > last and end > i)
