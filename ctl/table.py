"""Aligned columns that fit the terminal. Cells are escaped here; where there is no room the widest are cut, with `…`.

What names a row and its state are cut last. Off a terminal nothing is ever cut.
"""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctl.console import Console

_GAP = "  "
_NARROW, _NARROWEST = 8, 3
_CUT_LAST = frozenset({"ID", "JOB", "STATE"})


def print_table(
    console: Console,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    state_column: str = "STATE",
    headers: bool = True,
    whole: bool = False,
) -> None:
    """Prints `rows` below `header`; the cells of `state_column` have their state's colour. `whole`: cut nothing."""
    cells = [[escape("-" if cell is None or cell == "" else cell) for cell in row] for row in rows]
    shown = [list(header), *cells] if headers else cells
    if not shown:
        return
    total = None if whole else console.width
    widths = [max(columns_of(row[index]) for row in shown) for index in range(len(header))]
    _fit(widths, [name in _CUT_LAST for name in header], total)
    colored = list(header).index(state_column) if state_column in header else None
    for number, row in enumerate(shown):
        line = [pad(cut(cell, width), width) for cell, width in zip(row, widths, strict=True)]
        _end_at(line, total)
        if colored is not None and colored < len(line) and not (headers and number == 0):
            # The state's own word, if more stands beside it: `idle (upgrade due)`.
            line[colored] = console.paint(row[colored].partition(" ")[0], line[colored])
        console.print(_GAP.join(line).rstrip())


def print_flow(console: Console, parts: Sequence[tuple[str, str | None]]) -> None:
    """Prints short texts beside one another, each with the state whose colour it has; in several lines if need be."""
    total, line, used = console.width, "", 0
    for number, (text, state) in enumerate(parts):
        width = columns_of(text)
        if total is not None and used and used + len(_GAP) + width > total:
            console.print(line)
            line, used = "", 0
        # A line that goes on stands below the first word of the one before.
        gap = _GAP if number else ""
        line += gap + (text if state is None else console.paint(state, text))
        used += len(gap) + width
    console.print(line)


def _fit(widths: list[int], cut_last: list[bool], total: int | None) -> None:
    """Makes the widest columns narrower until the line fits, or nothing is left to be cut."""
    if total is None:
        return
    for narrowest, candidates in (
        (_NARROW, [index for index, last in enumerate(cut_last) if not last]),
        (_NARROWEST, [index for index, last in enumerate(cut_last) if not last]),
    ):
        while candidates and sum(widths) + len(_GAP) * (len(widths) - 1) > total:
            widest = max(candidates, key=widths.__getitem__)
            if widths[widest] <= narrowest:
                break
            widths[widest] -= 1


def _end_at(line: list[str], total: int | None) -> None:
    """Cuts a line at the edge of a terminal that is too narrow for it however narrow its columns are."""
    if total is None:
        return
    left = total
    for index, cell in enumerate(line):
        if columns_of(cell.rstrip()) > left:
            line[index] = cut(cell, left)
            del line[index + 1 :]
            return
        left -= columns_of(cell) + len(_GAP)
        if left <= 0:
            del line[index + 1 :]
            return


def columns_of(text: str) -> int:
    """Terminal columns of `text`: East Asian wide characters and emoji take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0
        if category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff"
        else 2
        if east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def cut(text: str, width: int) -> str:
    """`text`, cut to so many columns; `…` where something is missing."""
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - 1:
        text = text[:-1]
    return text + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """`text` with spaces to so many columns."""
    return text + " " * (width - columns_of(text))
