"""The formats that have a name, and any other by the server's own words for it."""

from dataclasses import replace

from clickstream.weblog import server_words
from clickstream.weblog.pattern import COMBINED, COMMON, VHOST_COMBINED, Format

_COMMON = '%h %l %u %t "%r" %>s %b'
_COMBINED = f'{_COMMON} "%{{Referer}}i" "%{{User-Agent}}i"'
WORDS = {
    "common": _COMMON,
    "combined": _COMBINED,
    "vhost_combined": f"%v:%p {_COMBINED}",
    "nginx_main": (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
        ' "$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
    ),
    "combinedio": f"{_COMBINED} %I %O",
}
"""Each name, in the words of the server that writes such lines."""
FORMATS = {each.name: each for each in (COMMON, COMBINED, VHOST_COMBINED)}
FORMATS |= {
    name: replace(server_words.compiled(words), name=name)
    for name, words in WORDS.items()
    if name not in FORMATS
}
"""The formats that have a name."""


def format_of(format: str, client: str = "") -> Format:
    """The format of a name or of a server's own words (see `server_words.compiled`).

    Raises ValueError.
    """
    if format in FORMATS and not client:
        return FORMATS[format]
    if format not in WORDS and not {"$", "%"} & {*format}:
        raise ValueError(
            f"{format!r} is neither {', '.join(WORDS)} nor a server's own words, nginx's"
            " log_format or Apache's LogFormat"
        )
    form = server_words.compiled(WORDS.get(format, format), client)
    return replace(form, name=f"{format} (client {client})" if client else format)
