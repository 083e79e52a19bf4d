"""The rows of a table as groups (speakers, sessions, sentences) that protocols deal into parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ser_bench.equal_parts import hashed_order, stratified_parts
from ser_bench.errors import UsageError, did_you_mean
from ser_bench.protocols.check import Identities
from ser_bench.protocols.fold import Positions
from ser_bench.protocols.names import meant, own_name, spellings
from ser_bench.protocols.parts import Codes, connected, factorised
from ser_bench.utterances import UtteranceTable


@dataclass(frozen=True, slots=True)
class Groups:
    """A code per row of the table, -1 for unknown, and the name of each, sorted."""

    what: str
    codes: Codes
    names: list[str]


@dataclass(slots=True, kw_only=True)
class Dealer:
    """One table with its classes, the rows that a protocol can use, and how to deal them.

    Attributes:
        table: The utterances.
        classes: Class index per row.
        rows: What rows must not share.
        usable: Rows that the protocol can use.
        partial: Whether utterances of the release are missing here.
    """

    table: UtteranceTable
    classes: NDArray[np.int64]
    rows: Identities
    usable: Positions
    partial: bool
    _known: dict[str, Groups] = field(default_factory=dict)

    def groups(self, what: str) -> Groups:
        """Return the table's speakers, sessions or sentences."""
        if what not in self._known:
            values = self.table.column(what)
            if what == "session":  # two corpora's first sessions are not one
                corpora = self.table.column("corpus")
                values = np.array(
                    [None if s is None else f"{c}:{s}" for c, s in zip(corpora, values, strict=True)], dtype=object
                )
            self._known[what] = Groups(what, *factorised(values))
        return self._known[what]

    def present(self, what: str, rows: Positions) -> Codes:
        """Return the codes of the groups that ``rows`` belong to, ascending, so by name."""
        groups = self.groups(what)
        codes = groups.codes[rows]
        return np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(groups.names))).astype(np.int64)

    def parts(self, what: str, rows: Positions, k: int, salt: str) -> Codes:
        """Return the part of each row, whole groups together, balanced by class; -1 where the group is unknown."""
        groups, present = self.groups(what), self.present(what, rows)
        codes, n_classes = groups.codes[rows], int(self.classes.max()) + 1
        cells = codes * n_classes + self.classes[rows]
        counts = np.bincount(cells[codes >= 0], minlength=len(groups.names) * n_classes).reshape(-1, n_classes)
        part = np.full(len(groups.names) + 1, -1, dtype=np.int64)
        part[present] = stratified_parts(counts[present], [groups.names[c] for c in present], k, salt)
        return part[codes]

    def among(self, what: str, codes: Iterable[int]) -> NDArray[np.bool_]:
        """Mark the usable rows that belong to one of the groups ``codes``."""
        return np.isin(self.groups(what).codes[self.usable], list(codes))

    def listed(self, what: str, names: Iterable[str]) -> tuple[list[int], list[str]]:
        """Return the codes of the groups called ``names``, and the names that a partial corpus lacks.

        Raises:
            UsageError: If a complete corpus lacks one, or one means groups of two corpora.
        """
        groups = self.groups(what)
        codes = {groups.names[code]: code for code in self.present(what, self.usable).tolist()}
        known = spellings(codes, own_name)
        found = {name: meant(what, (name,), known) for name in names}
        missing = [name for name, full in found.items() if full is None]
        if missing and not self.partial:
            raise UsageError(
                f"{what} {missing[0]!r} is to be tested, but the corpus has no such {what}"
                + did_you_mean(missing[0], known)
            )
        return [codes[full] for full in found.values() if full is not None], missing

    def share(self, what: str, share: float, seed: int) -> list[int]:
        """Return the codes of a seeded share of all groups."""
        present = self.present(what, self.usable)
        order = hashed_order([self.groups(what).names[c] for c in present], f"holdout {seed}")
        return present[order][: max(1, round(share * len(present)))].tolist()

    def random_parts(self, rows: Positions, k: int, salt: str, declares: frozenset[str]) -> Codes:
        """Deal utterances class by class; equal samples and siblings stay together unless that is declared."""
        everyone = np.arange(len(rows), dtype=np.int64)
        group = everyone
        for codes, declaration in ((self.rows.family, "shared-sibling"), (self.rows.content, "shared-duplicate")):
            own = codes[rows]
            linked = (own >= 0) & (np.bincount(own + 1)[own + 1] > 1)
            if linked.any() and declaration not in declares:
                group = connected(group, np.where(linked, own, -1 - everyone))
        ids = self.table.column("utterance_id")[rows]
        speaks = members = everyone
        if group is not everyone:
            by_id = np.array(sorted(range(len(rows)), key=ids.__getitem__), dtype=np.int64)
            _, first, renumbered = np.unique(group[by_id], return_index=True, return_inverse=True)
            speaks, members = by_id[first], np.empty(len(rows), dtype=np.int64)  # the least id speaks for its group
            members[by_id] = renumbered
        place = np.empty(len(speaks), dtype=np.int64)
        place[hashed_order(ids[speaks].tolist(), salt, self.classes[rows[speaks]])] = np.arange(len(speaks))
        return (place % k)[members]

    def enough(self, what: str, k: int) -> None:
        """Raise a UsageError where a complete corpus has fewer than ``k`` groups."""
        n = len(self.present(what, self.usable))
        if n < k and not self.partial:
            raise UsageError(f"{k} {what}-disjoint folds need at least {k} {what}s; this corpus has {n}")
