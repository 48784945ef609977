"""The page, its scripts and its answers in one file that opens from disk and asks nobody.

Its policy allows the scripts and the style by their hashes, and no connection at all.
"""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickstream import alerts
from clickstream.dashboard import answers
from clickstream.dashboard.assets import ASSETS
from clickstream.dashboard.snapshot import snapshot
from clickstream.days import instant
from clickstream.errors import ClickstreamError
from clickstream.home import write_atomic
from clickstream.serve import reports

if TYPE_CHECKING:
    from clickstream.config import Settings

SCRIPTS = ("charts.js", "app.js", "echarts.js")
STYLE = "style.css"


def page(
    settings: "Settings", last: str, now: int, addresses: bool = True, date: str | None = None
) -> str:
    """The HTML of the last days (`7d`, or `all`), or of one date, as of now (epoch s).

    Where not `addresses`, each client address becomes `address 1`, `address 2`, ... A layer that
    cannot be asked is said on the page. Raises UsageError for a span that is none.
    """
    content = {
        "as_of": instant(now),
        "last": last,
        "date": date,
        "servers": [reports.ALL],
        "now": _now(settings, addresses),
        "reports": {name: _report(settings, name, last, date) for name in answers.PANELS},
    }
    return assembled(content)


def save(
    settings: "Settings", path: Path, last: str, addresses: bool = True, date: str | None = None
) -> str:
    """Write the page as of now to a file that only its owner may read; a sentence about it."""
    write_atomic(path, page(settings, last, int(time.time()), addresses, date), private=True)
    holds = "it holds addresses of clients" if addresses else "clients are numbered in it"
    return f"wrote {path}; {holds}"


def assembled(content: dict[str, Any]) -> str:
    """The page with this content; see `page`."""
    style = _text(STYLE)
    scripts = [_text(name).replace("</script", "<\\/script") for name in SCRIPTS]
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    html = _text("")
    html = html.replace('<link rel="stylesheet" href="style.css">\n', f"<style>{style}</style>\n")
    for name in SCRIPTS:
        html = html.replace(f'<script src="{name}" defer></script>\n', "")
    html = html.replace("<head>\n", f"<head>\n{_policy(style, scripts)}\n", 1)
    # The data stand before the scripts: the charts' text holds an end of body, too.
    block = f'<script type="application/json" id="data">{data}</script>'
    inlined = "\n".join(f"<script>{script}</script>" for script in scripts)
    head, end = html.rsplit("</body>", 1)
    return f"{head}{block}\n{inlined}\n</body>{end}"


def _policy(style: str, scripts: list[str]) -> str:
    allowed = " ".join(_hash(script) for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _text(name: str) -> str:
    return ASSETS[name].content().decode()


def _now(settings: "Settings", addresses: bool) -> dict[str, Any] | None:
    from clickstream.views.realtime import RealTime

    try:
        with RealTime.connect(settings, reader=True) as views:
            batch = views.status()["batch"]
            content = {} if batch is None else snapshot(settings, views, batch)
    except ClickstreamError:
        return None
    if content and not addresses:
        content["alerts"] = without_addresses(content["alerts"])
    return content or None


def without_addresses(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of alerts whose clients are numbered instead of named, the same one alike."""
    numbers: dict[str, str] = {}
    masked = []
    for row in rows:
        key = row["key"]
        if row["kind"] == alerts.DDOS:
            key = numbers.setdefault(key, f"address {len(numbers) + 1}")
        masked.append(row | {"key": key, "id": f"{row['kind']}/{key}/{row['first']}"})
    return masked


def _report(settings: "Settings", name: str, last: str, date: str | None) -> dict[str, Any]:
    question = answers.of_panel(settings, name, last, date=date)
    try:
        return answers.as_json(answers.asked(settings, name, question))
    except ClickstreamError as error:
        return answers.as_json(answers.unanswered(name, error))
