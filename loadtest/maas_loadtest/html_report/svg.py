"""Charts as inline SVG: axes, lines, areas, bars and rules; colours are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from maas_loadtest.html_report.scales import Scale

Points = Sequence[tuple[float, float | None]]
_MOST_DOTS = 40
_CHARACTER = 6.6
"""Width of a digit in the style sheet's 12-pixel font."""
_TOP, _RIGHT = 12, 14


@dataclass(frozen=True)
class Size:
    """Of a chart, in pixels: it is drawn once for wide and once for narrow windows, so that its text stays legible."""

    width: int
    height: int


WIDE = Size(600, 290)
FULL = Size(1240, 320)
NARROW = Size(356, 250)


class Chart:
    """One drawing; the methods add to it, :meth:`svg` gives it.

    Args:
        title: for people who cannot see it.
    """

    def __init__(self, size: Size, x: Scale, y: Scale, title: str) -> None:
        self._size, self._x, self._y, self._title = size, x, y, title
        self._parts: list[str] = []
        self._y_ticks = y.ticks(max(3, size.height // 50))
        longest = max((len(text) for _, text in self._y_ticks), default=1)
        self._left = max(34, round(10 + _CHARACTER * longest))
        self._bottom = size.height - 40
        self._draw_axes()

    def line(self, points: Points, style: str, *, dashed: bool = False, words: str = "") -> None:
        """A line through ``points``; None breaks it.

        Args:
            points: pairs of x and y.
            style: class of the colour, e.g. "c1".
            dashed: in strokes, for the second of a pair.
            words: what the line is; few points then tell their value when pointed at.
        """
        path, pen_up = [], True
        for x, y in points:
            if y is not None:
                path.append(f"{'M' if pen_up else 'L'}{self._at(x, y)}")
            pen_up = y is None
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path class="line {style}"{dash} d="{"".join(path)}"/>')
        if words and len(points) <= _MOST_DOTS:
            for x, y in points:
                if y is not None:
                    place = self._at(x, y).split(" ")
                    told = f"{words}: {self._y.words(y)} at {self._x.words(x)}"
                    self._dot(place, style, told)

    def dots(self, points: Sequence[tuple[float, float, str]], style: str) -> None:
        """Single points with what each of them tells."""
        for x, y, told in points:
            self._dot(self._at(x, y).split(" "), f"{style} big", told)

    def area(self, lower: Points, upper: Points, style: str) -> None:
        """Fills between two lines that have the same x."""
        there = [self._at(x, y or 0.0) for x, y in upper]
        back = [self._at(x, y or 0.0) for x, y in reversed(lower)]
        if there:
            self._parts.append(f'<path class="area {style}" d="M{"L".join([*there, *back])}Z"/>')

    def bar(self, from_x: float, to_x: float, height: float, style: str, told: str, *, base: float = 0.0) -> None:
        """An upright bar between two x values, from ``base`` up to ``base + height``."""
        left, right = self._pixel_x(from_x), self._pixel_x(to_x)
        top, bottom = self._pixel_y(base + height), self._pixel_y(base)
        width = max(0.8, right - left - (1 if right - left > 4 else 0))
        self._parts.append(
            f'<rect class="bar {style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{max(0.0, bottom - top):.1f}"><title>{escape(told)}</title></rect>'
        )

    def rule_y(self, value: float, words: str) -> None:
        """A level line across the chart, with words on it; none where it lies beyond the axis."""
        if self._y.low < value <= self._y.high:
            y = self._pixel_y(value)
            right = self._size.width - _RIGHT
            self._parts.append(f'<path class="rule" d="M{self._left} {y:.1f}H{right}"/>')
            self._text(self._left + 5, y - 4, words, "start", "rule-text")

    def rule_x(self, value: float, words: str, row: int = 0) -> None:
        """An upright line, with words at its top; ``row`` moves them down, so that neighbours do not overlap."""
        if self._x.low <= value <= self._x.high:
            x = self._pixel_x(value)
            self._parts.append(f'<path class="rule" d="M{x:.1f} {_TOP}V{self._bottom}"/>')
            end = x > self._size.width * 0.8
            self._text(x + (-4 if end else 4), _TOP + 10 + 14 * row, words, "end" if end else "start", "rule-text")

    def svg(self, style: str) -> str:
        """The whole element; ``style`` is the class that shows it in windows of some width only."""
        width, height = self._size.width, self._size.height
        return (
            f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(self._title)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def _draw_axes(self) -> None:
        right = self._size.width - _RIGHT
        for value, text in self._y_ticks:
            y = self._pixel_y(value)
            self._parts.append(f'<path class="grid" d="M{self._left} {y:.1f}H{right}"/>')
            self._text(self._left - 6, y + 4, text, "end")
        for value, text in self._spaced(self._x.ticks(max(3, self._size.width // 90))):
            x = self._pixel_x(value)
            self._parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{self._bottom}"/>')
            self._text(x, self._bottom + 16, text, "middle")
        self._parts.append(f'<path class="axis" d="M{self._left} {_TOP}V{self._bottom}H{right}"/>')
        self._text((self._left + right) / 2, self._size.height - 5, self._x.label, "middle", "label")

    def _spaced(self, ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
        """Without those whose words would touch the words before them."""
        kept: list[tuple[float, str]] = []
        free_from = 0.0
        for value, text in ticks:
            half = len(text) * _CHARACTER / 2
            if self._pixel_x(value) - half >= free_from and self._pixel_x(value) + half <= self._size.width + 1:
                kept.append((value, text))
                free_from = self._pixel_x(value) + half + 8
        return kept

    def _dot(self, place: Sequence[str], style: str, told: str) -> None:
        radius = 5 if "big" in style else 2.6
        self._parts.append(
            f'<circle class="dot {style}" cx="{place[0]}" cy="{place[1]}" r="{radius}">'
            f"<title>{escape(told)}</title></circle>"
        )

    def _text(self, x: float, y: float, text: str, anchor: str, style: str = "tick") -> None:
        if text:
            self._parts.append(
                f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
            )

    def _at(self, x: float, y: float) -> str:
        return f"{self._pixel_x(x):.1f} {self._pixel_y(y):.1f}"

    def _pixel_x(self, value: float) -> float:
        return self._left + self._x.place(value) * (self._size.width - _RIGHT - self._left)

    def _pixel_y(self, value: float) -> float:
        return self._bottom - self._y.place(value) * (self._bottom - _TOP)
