"""Aligned columns that fit the terminal. Cells are escaped here; only the widest free column is ever cut."""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctl.console import Console

_GAP = "  "
_NARROWEST = 8


def print_table(
    console: Console,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    state_column: str = "STATE",
    headers: bool = True,
) -> None:
    """Prints `rows` below `header`; the cells of `state_column` have their state's colour."""
    cells = [[escape("-" if cell is None or cell == "" else cell) for cell in row] for row in rows]
    shown = [list(header), *cells] if headers else cells
    if not shown:
        return
    widths = [max(_columns(row[index]) for row in shown) for index in range(len(header))]
    _fit(widths, console.width)
    for row in shown:
        line = [_cut(cell, width) for cell, width in zip(row, widths, strict=True)]
        padded = [cell + " " * (width - _columns(cell)) for cell, width in zip(line, widths, strict=True)]
        if state_column in header and row is not header:
            index = list(header).index(state_column)
            padded[index] = console.paint(row[index], padded[index])
        console.print(_GAP.join(padded).rstrip())


def _fit(widths: list[int], total: int | None) -> None:
    """Makes the widest columns narrower until the line fits."""
    if total is None:
        return
    while sum(widths) + len(_GAP) * (len(widths) - 1) > total:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _columns(text: str) -> int:
    """Terminal columns of `text`: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _cut(text: str, width: int) -> str:
    if _columns(text) <= width:
        return text
    while text and _columns(text) > width - 1:
        text = text[:-1]
    return text + "…"
