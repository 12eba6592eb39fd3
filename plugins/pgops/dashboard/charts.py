"""Charts as SVG without style or script of their own: the page's style sheet colours them, in light and dark.

Axes and scales are pygal's. A sparkline is one line, drawn here: a page has a hundred of them, and pygal takes a
millisecond and seven kilobytes for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

import pygal
from markupsafe import Markup

from pgops.units import shown

Points = Sequence[tuple[datetime, float]]
_WIDTH, _HEIGHT = 100, 24
_CHART = {
    **{"width": 640, "height": 240, "margin": 12, "margin_right": 36, "explicit_size": False, "no_prefix": True},
    **{
        "show_legend": False,
        "show_dots": False,
        "include_x_axis": True,
        "fill": True,
        "max_scale": 5,
        "truncate_label": 20,
    },
    **{"js": (), "css": (), "title": None, "disable_xml_declaration": True},
}
_SVG = "http://www.w3.org/2000/svg"
_OF_THE_PAGE = (f"{{{_SVG}}}style", f"{{{_SVG}}}script", f"{{{_SVG}}}title", f"{{{_SVG}}}desc")


@dataclass(frozen=True)
class Trend:
    """A figure over time.

    Attributes:
        unit: bytes, percent, seconds or none.
    """

    title: str
    unit: str
    points: tuple[tuple[datetime, float], ...]

    @property
    def last(self) -> str:
        """The newest value."""
        return shown(self.points[-1][1], self.unit) if self.points else shown(None)

    @property
    def change(self) -> float | None:
        """From the first to the last point, in percent; none where there is nothing to compare."""
        if len(self.points) < 2 or not self.points[0][1]:
            return None
        return (self.points[-1][1] / self.points[0][1] - 1) * 100

    @property
    def text(self) -> str:
        """What the chart shows, for those who do not see it."""
        if not self.points:
            return f"{self.title}: no data"
        values = [value for _, value in self.points]
        (first, begun), (last, now) = self.points[0], self.points[-1]
        return (
            f"{self.title}: {shown(begun, self.unit)} on {first:%Y-%m-%d}, {shown(now, self.unit)} on {last:%Y-%m-%d}, "
            f"between {shown(min(values), self.unit)} and {shown(max(values), self.unit)}"
        )

    def sparkline(self) -> Markup:
        """One line; the page says beside it what it shows."""
        if len(self.points) < 2:
            return Markup("")
        begun, ended = self.points[0][0].timestamp(), self.points[-1][0].timestamp()
        values = [value for _, value in self.points]
        low, span = min(values), max(values) - min(values)
        line = " ".join(
            f"{(at.timestamp() - begun) / (ended - begun) * _WIDTH:.1f},"
            f"{_HEIGHT - 2 - ((value - low) / span if span else 0.5) * (_HEIGHT - 4):.1f}"
            for at, value in self.points
        )
        return Markup(
            '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
            '<polyline points="{}"/></svg>'
        ).format(_WIDTH, _HEIGHT, self.text, line)

    def chart(self) -> Markup:
        """With axes, a guide for the eye and a scale that begins at nothing."""
        drawing = pygal.DateTimeLine(
            **_CHART,
            value_formatter=lambda value: shown(value, self.unit),
        )
        drawing.x_labels = _dates(self.points)
        drawing.x_value_formatter = lambda at: f"{at:%d %b %y}"
        drawing.add("", list(self.points), formatter=lambda point: "")
        return _bare(drawing.render(is_unicode=True), self.text)


def _dates(points: Points, most: int = 5) -> list[datetime]:
    step = max((len(points) - 1) // (most - 1), 1)
    return [at for at, _ in points[::step]]


def _bare(drawn: str, text: str) -> Markup:
    """What pygal drew, as a picture of the page: no style, no script, no tooltips, one text for all of it."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(drawn)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _OF_THE_PAGE or "tooltip-overlay" in child.get("class", ""):
                parent.remove(child)
        parent.attrib.pop("style", None)
        parent.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", text)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # escaped by the serializer
