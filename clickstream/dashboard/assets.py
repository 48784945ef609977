"""The files of the page: our own, and the charts' script out of its locked jar."""

import zipfile
from functools import cache
from importlib import resources
from typing import NamedTuple

from clickstream.runtime import jars

ECHARTS = "META-INF/resources/_static/echarts/6.0.0/dist/echarts.common.min.js"


class Asset(NamedTuple):
    """One file of the page; `file` lies in `page/`, empty for the script of the jar."""

    file: str
    media_type: str

    def content(self) -> bytes:
        """Its bytes; raises ClickstreamError where the jar is not in the cache."""
        return _page(self.file) if self.file else _echarts()


ASSETS = {
    "": Asset("index.html", "text/html"),
    "style.css": Asset("style.css", "text/css"),
    "app.js": Asset("app.js", "text/javascript"),
    "charts.js": Asset("charts.js", "text/javascript"),
    "echarts.js": Asset("", "text/javascript"),
}
"""What is served, by its path below /."""


@cache
def _page(file: str) -> bytes:
    return resources.files("clickstream.dashboard").joinpath("page", file).read_bytes()


@cache
def _echarts() -> bytes:
    (jar,) = jars.files("dashboard")
    with zipfile.ZipFile(jar) as archive:
        return archive.read(ECHARTS)
