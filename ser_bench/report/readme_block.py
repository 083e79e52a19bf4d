"""A board in somebody's README: the lines between two markers, and nothing else of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ser_bench.errors import DataError
from ser_bench.report import wording
from ser_bench.report.markdown import banner, inert, score_table
from ser_bench.report.parts import Board
from ser_bench.store import write_atomically


def render_block(board: Board, rows: int | None = None) -> str:
    """Return what stands between the markers: warnings, and of every table its counts and its first ``rows`` rows."""
    suite = board.suite
    parts = [banner(notice) for notice in board.notices if notice.kind != "note"]
    for table in board.tables:
        of = inert(f"{suite.title}, {table.title}" if len(board.tables) > 1 else suite.title)
        parts.append(f"**{of}**: {wording.size(table.n_test, table.n_test_speakers)}")
        parts.append(score_table(board, table, rows))
        if rows is not None and len(table.rows) > rows:
            parts.append(f"The first {rows} of {len(table.rows)} rows.")
        parts += [" ".join(map(inert, table.notes))] if table.notes else []
    return "\n\n".join(parts)


def markers(name: str) -> tuple[str, str]:
    """Return the two lines between which the board of the run folder ``name`` stands.

    Raises:
        DataError: If the name would end the comment that a marker is.
    """
    if not name or ">" in name or not name.isprintable():
        raise DataError(
            f"run folder {name!r}: its name can't stand in a Markdown comment", hint="mv it to a plain name"
        )
    return f"<!-- ser-bench:{name}:begin -->", f"<!-- ser-bench:{name}:end -->"


def with_block(data: bytes, name: str, block: str, *, where: Path) -> bytes:
    """Return the file's bytes ``data`` with ``block`` between the markers of ``name``; all else stays to the byte.

    Lines of the block end as the line of the first marker does.

    Args:
        data: The file.
        name: The run folder's name.
        block: Lines, ended by LF, the last one by nothing.
        where: The file's path, for errors.

    Raises:
        DataError: If the markers are not there, are there twice, or stand in the wrong order.
    """
    begin, end = markers(name)
    places = [_lines_that_are(data, marker) for marker in (begin, end)]
    wanted = f"{where}: expected, each once on a line of its own and in this order, around the table of {name}:\n"
    wanted += f"\n{begin}\n{end}\n\n"
    if [len(of) for of in places] != [1, 1]:
        raise DataError(f"{wanted}found the first {_times(len(places[0]))}, the second {_times(len(places[1]))}")
    (first,), (last,) = places
    if last.start() < first.end():
        raise DataError(f"{wanted}found them in the other order")
    line_end = first[1]
    middle = block.replace("\n", line_end.decode()).encode() + line_end
    return data[: first.end()] + middle + data[last.start() :]


class Readme:
    """A Markdown file in which the boards of run folders stand.

    Args:
        path: The file; a link is followed.
        folders: The run folders, each of which has its markers in the file.

    Raises:
        DataError: If there is no such file, or the markers of a folder are not as they should be.
    """

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        self._path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror})", hint=f"touch {path}") from None
        for folder in folders:  # before anything is written
            with_block(self._data, _name(folder), "", where=path)

    def put(self, folder: Path, board: Board, rows: int | None) -> bool:
        """Put the board of a folder between its markers; return whether that changed anything."""
        before = self._data
        self._data = with_block(before, _name(folder), render_block(board, rows), where=self._path)
        return self._data != before

    def write(self) -> None:
        """Write the file, whole or not at all."""
        write_atomically(self._path.resolve(), self._data)


def _name(folder: Path) -> str:
    return folder.resolve().name


def _lines_that_are(data: bytes, marker: str) -> list[re.Match[bytes]]:
    return list(
        re.finditer(rb"^(?:\xef\xbb\xbf)?" + re.escape(marker.encode()) + rb"[ \t]*(\r?\n|\Z)", data, re.MULTILINE)
    )


def _times(n: int) -> str:
    return "nowhere" if n == 0 else "once" if n == 1 else f"{n} times"
