"""What a table of records can show: named columns, which of them usually, which with `-o wide`, in which order."""

from __future__ import annotations

from ctl.errors import invalid
from ctl.table import print_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ctl.console import Console

WIDE = "wide"


class Column:
    """`cell` is what a record shows in it, `by` what it is sorted by, if that is something else."""

    def __init__(self, cell: Callable[[Any], object], by: Callable[[Any], object] | None = None) -> None:
        self.cell = cell
        self.by = by or cell


class Columns:
    """The columns that there are, by their names; those that are shown usually, and with `-o wide`."""

    def __init__(self, there_are: Mapping[str, Column], usual: Sequence[str], wide: Sequence[str]) -> None:
        self.there_are = there_are
        self.usual = usual
        self.wide = wide

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The options of a verb that prints such a table."""
        names = ", ".join(self.there_are)
        parser.add_argument(
            "-o", dest="columns", metavar="COLUMNS", help=f"`wide` for more columns, uncut; or which: {names}"
        )
        parser.add_argument("--sort", metavar="COLUMN", help="order what is shown by this column, the least first")
        parser.add_argument("--reverse", action="store_true", help="in the opposite order")
        parser.add_argument("--no-headers", action="store_true", help="without the line of headers")

    def chosen(self, text: str | None) -> Sequence[str]:
        """The columns of `-o`; raises InvalidRequest listing what there is."""
        if text is None:
            return self.usual
        if text == WIDE:
            return self.wide
        names = [name.strip().lower() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in self.there_are]
        if unknown or not names:
            raise self._unknown(", ".join(unknown) or repr(text))
        return names

    def check(self, options: argparse.Namespace) -> None:
        """Raises InvalidRequest where the options name a column that there is not."""
        self.chosen(options.columns)
        self._sort_name(options.sort)

    def sorted(self, records: Sequence[Any], options: argparse.Namespace) -> list[Any]:
        """The records in the order that was asked for; those without a value come last, whichever way."""
        name = self._sort_name(options.sort)
        if name is None:
            return list(reversed(records)) if options.reverse else list(records)
        by = self.there_are[name].by
        have = [record for record in records if by(record) not in (None, "")]
        have.sort(key=lambda record: _rank(by(record)), reverse=options.reverse)
        return have + [record for record in records if by(record) in (None, "")]

    def print(self, console: Console, records: Sequence[Any], options: argparse.Namespace | None = None) -> None:
        """The table, as the options say; `options` None: as usual."""
        names = self.usual if options is None else self.chosen(options.columns)
        rows = [[self.there_are[name].cell(record) for name in names] for record in records]
        print_table(
            console,
            [name.upper() for name in names],
            rows,
            headers=options is None or not options.no_headers,
            whole=options is not None and options.columns == WIDE,
        )

    def _sort_name(self, text: str | None) -> str | None:
        name = None if text is None else text.strip().lower()
        if name is not None and name not in self.there_are:
            raise self._unknown(repr(text))
        return name

    def _unknown(self, what: str) -> Exception:
        return invalid(f"there is no column {what}; there are {', '.join(self.there_are)}")


def _rank(value: object) -> tuple[bool, Any]:
    """Numbers before words: the exit code or signal of a job is either."""
    return isinstance(value, str), value
