"""What a reader of an HTML page sees, and what a browser would fetch for it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

_VOID = {"meta", "br", "hr", "img", "input", "link"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset", "data"} and value]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)


class Page:
    """One page, read."""

    def __init__(self, html: str) -> None:
        reader = _Reader()
        # Browsers take <path .../> inside of SVG as closed, HTMLParser too.
        reader.feed(html)
        assert not reader.open, f"never closed: {reader.open}"
        self.text = re.sub(r"\s+", " ", " ".join(reader.words))
        self.tags = reader.tags
        self.fetched = [*reader.fetched, *re.findall(r"url\(([^)]*)\)", html), *re.findall(r"@import", html)]
        # Raises where one is not well-formed.
        self.charts = [ElementTree.fromstring(chart) for chart in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]  # noqa: S314  # our own text

    def chart(self, title: str) -> ElementTree.Element:
        """The drawing for wide windows."""
        return next(chart for chart in self.charts if chart.get("aria-label") == title)

    def told(self, title: str) -> list[str]:
        """What the parts of a chart say when they are pointed at."""
        return [element.text or "" for element in self.chart(title).iter("title")]
