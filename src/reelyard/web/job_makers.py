"""Who makes what of a film: a strip of it in order, and its workers in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE
from reelyard.services.making import Maker, Making, Piece, PieceState, blocks

from .job_look import tagged
from .words import clock

_COLOURS = 8
_A_LINE = 120
_MOST_LINES = 12
_MOST_ITEMS = 100
MAKERS_CSS = """
.ry-strip { display: flex; flex-direction: column; gap: 3px; width: 100%; }
.ry-strip > div { display: flex; height: 34px; border-radius: 4px; overflow: hidden; background: var(--ry-soft); }
.ry-strip.is-long > div { height: 16px; }
.ry-strip i { display: block; flex: 1 1 0; min-width: 0; height: 100%; position: relative; background: var(--ry-by); }
.ry-strip i + i { border-left: 1px solid var(--ry-gap); }
.ry-strip i.is-cached, .ry-key.is-cached { background: repeating-linear-gradient(135deg, #8a93a3 0 3px, transparent 3px 6px); }
.ry-strip i.is-open { background: none; box-shadow: inset 0 0 0 1px #8a93a3; }
.ry-strip i.is-making { background: none; box-shadow: inset 0 0 0 1.5px var(--ry-by); }
.ry-strip i.is-making b { position: absolute; inset: 0 auto 0 0; background: var(--ry-by); opacity: .6; }
:root { --ry-gap: #fff; } body.body--dark { --ry-gap: #1d1d1d; }
.ry-by-0 { --ry-by: #2f6fed; } .ry-by-1 { --ry-by: #d9480f; } .ry-by-2 { --ry-by: #2b8a3e; } .ry-by-3 { --ry-by: #a63ac1; }
.ry-by-4 { --ry-by: #b07d00; } .ry-by-5 { --ry-by: #0c8599; } .ry-by-6 { --ry-by: #d6336c; } .ry-by-7 { --ry-by: #7950f2; }
.ry-key { display: inline-block; width: 14px; height: 14px; border-radius: 3px; background: var(--ry-by); flex: none; }
.ry-key.is-open { background: none; box-shadow: inset 0 0 0 1px #8a93a3; }
.ry-makers td, .ry-makers th { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.ry-makers .is-number { text-align: right; white-space: nowrap; }
.ry-maker { display: flex; align-items: center; gap: 8px; min-width: 0; } .ry-table.ry-makers tbody th { color: inherit; }
.ry-makers tbody th { min-width: 104px; }
.ry-more summary { cursor: pointer; font-size: 13px; color: var(--ry-dim); padding: 4px 0; }
.ry-more summary::before { content: "▸ "; } .ry-more[open] summary::before { content: "▾ "; }
@media (max-width: 600px) { .ry-makers.is-live :is(td, th):nth-child(3) { display: none; } }
"""


class Makers:
    """The card. It is there where anything is known, and given the latest while the film is made."""

    def __init__(self, state: JobState, making: Making) -> None:
        self._state = state
        self._colours: dict[str, int] = {}
        self._shown: Making | None = None
        with ui.card().classes("ry-card q-pa-md").style("gap: 10px") as self._card:
            title = ui.label("Who makes what" if self.is_live else "Who made what")
            title.classes("text-subtitle1 text-weight-medium").props("role=heading aria-level=2")
            self._strip = ui.html("", sanitize=False).classes("full-width")
            self._table = ui.html("", sanitize=False).classes("full-width")
            self._said = ui.label().classes("text-caption ry-dim ry-plain")
            if not self.is_live:
                _items(making)
        tagged(self._card, "job-makers")
        self.update(making)

    @property
    def is_live(self) -> bool:
        return self._state.status is JobStatus.PROCESSING

    def update(self, making: Making) -> None:
        """As it stands now. A worker keeps its colour."""
        self._card.set_visibility(bool(making.pieces))
        if making == self._shown:
            return
        self._shown = making
        for one in making.makers:
            self._colours.setdefault(one.worker_id, len(self._colours) % _COLOURS)
        self._strip.set_content(strip(making, self._colours))
        self._table.set_content(_table(making, self._colours, is_live=self.is_live))
        self._said.set_text(_said(self._state, making) if self.is_live else "")


def strip(making: Making, colours: Mapping[str, int]) -> str:
    """The picture, for screens; who can't see it is told the same in words. A long film has several lines."""
    lines = _lines(blocks(making.pieces), making.frames)
    long = " is-long" if len(lines) > 1 else ""
    said = escape(f"The film in order, by who makes it: {in_words(making)}")
    shown = "".join(f"<div>{''.join(_block(one, colours) for one in line)}</div>" for line in lines)
    return f'<div class="ry-strip{long}" role="img" aria-label="{said}" data-testid="job-strip">{shown}</div>'


def _lines(shown: Sequence[Piece], frames: int) -> Sequence[Sequence[Piece]]:
    """Lines of about the same length, so many that single blocks can be seen."""
    count = min(_MOST_LINES, -(-len(shown) // _A_LINE))
    found: list[list[Piece]] = [[] for _ in range(count)]
    before = 0
    for one in shown:
        found[min(count - 1, before * count // frames)].append(one)
        before += one.frames
    return [line for line in found if line]


def _block(piece: Piece, colours: Mapping[str, int]) -> str:
    by = f" ry-by-{colours.get(piece.worker_id or '', 0)}"
    fill = ""
    if piece.state is PieceState.MAKING:
        fill = f'<b style="width:{100 * piece.done / piece.frames:.0f}%"></b>'
    look = "" if piece.state is PieceState.MADE else f" is-{piece.state}"
    return f'<i class="{look}{by}" style="flex-grow:{piece.frames}" title="{escape(_told(piece))}">{fill}</i>'


def _told(piece: Piece) -> str:
    """What a block is, where the mouse rests on it."""
    first, last = _place(piece.position, piece.part), _place(piece.last, piece.last_part)
    where = first if piece.segments == 1 else f"{first} to {last}, {piece.segments} segments"
    who = printable(piece.worker_id or "")
    state = {
        PieceState.OPEN: "nobody is at it yet",
        PieceState.MAKING: f"{who} is at it, {_percent(piece.done / piece.frames)}",
        PieceState.MADE: f"made by {who}",
        PieceState.CACHED: "from the cache",
    }[piece.state]
    return f"{where}: {_length(piece.frames)}, {state}"


def _place(position: int, part: int) -> str:
    return f"item {position}, part {part + 1}"


def _length(frames: int) -> str:
    seconds = float(frames / FRAME_RATE)
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def in_words(making: Making) -> str:
    """Who has made how much."""
    words = [
        f"{printable(one.worker_id)} {_segments(one.segments)} ({_percent(one.share)})"
        for one in making.makers
    ]
    if making.cached:
        words.append(f"the cache {_segments(making.cached)}")
    if making.open:
        words.append(f"nobody yet {_segments(making.open)}")
    return ", ".join(words)


def _segments(count: int) -> str:
    return f"{count} segment{'s' if count != 1 else ''}"


def _percent(share: float) -> str:
    """With a space that does not break."""
    return "under 1\u00a0%" if 0 < share < 0.01 else f"{100 * share:.0f}\u00a0%"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the legend. ``look`` is its key's, ``now`` what its worker is at."""

    look: str
    name: str
    segments: int
    frames: int
    role: str = ""
    now: str = ""


def _table(making: Making, colours: Mapping[str, int], *, is_live: bool) -> str:
    """The legend, with everything that the picture shows."""
    names = ["Worker", "Segments", "Film", "Share", *(["Is at"] if is_live else [])]
    head = "".join(f"<th scope=col{_number(n)}>{name}</th>" for n, name in enumerate(names))
    role = "helps" if is_live else "helped"
    rows = [_maker(one, colours[one.worker_id], role) for one in making.makers]
    for state, name in ((PieceState.CACHED, "From the cache"), (PieceState.OPEN, "Nobody yet")):
        own = [one.frames for one in making.pieces if one.state is state]
        if own:
            rows.append(_Row(f"is-{state}", name, len(own), sum(own)))
    lines = "".join(_line(one, making.frames, is_live=is_live) for one in rows)
    look = "ry-table ry-makers is-live" if is_live else "ry-table ry-makers"
    return f'<table class="{look}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'


def _number(column: int) -> str:
    return " class=is-number" if 1 <= column <= 3 else ""


def _maker(one: Maker, colour: int, role: str) -> _Row:
    now = "; ".join(
        f"{_place(piece.position, piece.part)} ({_percent(piece.done / piece.frames)})"
        for piece in one.making
    )
    return _Row(f"ry-by-{colour}", printable(one.worker_id), one.segments, one.frames,
                "" if one.is_owner else role, now)  # fmt: skip


def _line(row: _Row, whole: int, *, is_live: bool) -> str:
    key = f'<span class="ry-key {row.look}" aria-hidden="true"></span>'
    who = escape(row.name) + (f' <span class="ry-dim">{row.role}</span>' if row.role else "")
    cells = (str(row.segments), _length(row.frames), _percent(row.frames / whole))
    numbers = "".join(f"<td class=is-number>{one}</td>" for one in cells)
    last = f"<td>{escape(row.now)}</td>" if is_live else ""
    return f"<tr><th scope=row><div class=ry-maker>{key}<span>{who}</span></div></th>{numbers}{last}</tr>"


def _said(state: JobState, making: Making) -> str:
    rest = state.frames - making.frames
    if rest <= 0:
        return ""
    return f"Not shown: {_length(rest)} of the film, which was there already or is for its own worker alone."


def _items(making: Making) -> None:
    """Item by item, for who wants to know exactly. A film of many items has a list of some."""
    found = groupby(making.pieces, lambda one: one.position)
    rows = [(position, _by_whom(list(pieces))) for position, pieces in found]
    lines = "".join(
        f"<tr><th scope=row>{position}</th><td>{escape(said)}</td></tr>"
        for position, said in rows[:_MOST_ITEMS]
    )
    if len(rows) > _MOST_ITEMS:
        lines += f"<tr><th scope=row>…</th><td>{len(rows) - _MOST_ITEMS} more items</td></tr>"
    ui.html(
        '<details class="ry-more"><summary>Item by item</summary><table class="ry-table ry-makers"><thead><tr>'
        f"<th scope=col>Item</th><th scope=col>Made by</th></tr></thead><tbody>{lines}</tbody></table></details>",
        sanitize=False,
    ).classes("full-width")


def _by_whom(pieces: Sequence[Piece]) -> str:
    count: dict[str, int] = {}
    for one in pieces:
        name = "the cache" if one.state is PieceState.CACHED else printable(one.worker_id or "")
        count[name] = count.get(name, 0) + 1
    if len(count) == 1:
        return next(iter(count))
    return ", ".join(f"{name} ({_segments(number)})" for name, number in count.items())
