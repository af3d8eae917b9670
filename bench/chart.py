"""Bars as SVG, readable on a light and on a dark page: written as text, drawn by nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_LEFT, _BAR, _GAP, _HEAD, _WIDE = 130, 20, 8, 44, 360
_COLUMN = _LEFT + _WIDE + 110

_STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .head { font-weight: 600 }
  .note { fill: #59636e; font-size: 12px }
  .bar { fill: #b0b8c1 }
  .ours { fill: #1f6feb }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .bar { fill: #59636e }
    .ours { fill: #4493f8 }
  }
</style>"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of all rivals. ``note`` says which way is better; ``form`` writes a value."""

    title: str
    note: str
    values: Sequence[tuple[str, float]]
    form: str


def chart(title: str, panels: Sequence[Panel], ours: str, columns: int = 2) -> str:
    """The picture; bars are from zero, the longest of a panel fills it."""
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    body, top = [], 46
    for row in rows:
        for column, panel in enumerate(row):
            body += _panel(panel, ours, 16 + column * _COLUMN, top)
        top += max(_height(panel) for panel in row)
    width = 16 + columns * _COLUMN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" '
        f'viewBox="0 0 {width} {top}" role="img" aria-label="{escape(title, {chr(34): ""})}">',
        _STYLE,
        f'<text class="head" x="16" y="26">{escape(title)}</text>',
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _height(panel: Panel) -> int:
    return _HEAD + len(panel.values) * (_BAR + _GAP) + 14


def _panel(panel: Panel, ours: str, left: int, top: int) -> list[str]:
    lines = [
        f'<text class="head" x="{left}" y="{top + 14}">{escape(panel.title)}</text>',
        f'<text class="note" x="{left}" y="{top + 31}">{escape(panel.note)}</text>',
    ]
    longest = max((value for _, value in panel.values), default=1.0) or 1.0
    for number, (name, value) in enumerate(panel.values):
        y = top + _HEAD + number * (_BAR + _GAP)
        wide = max(1.0, value / longest * _WIDE)
        kind = "bar ours" if name == ours else "bar"
        lines += [
            f'<text x="{left + _LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left + _LEFT}" y="{y}" width="{wide:.1f}" height="{_BAR}" rx="3"/>',
            f'<text x="{left + _LEFT + wide + 8:.1f}" y="{y + 15}">{escape(panel.form.format(value))}</text>',
        ]
    return lines
