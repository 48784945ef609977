"""Formats in a server's words, made at random with lines in them, and what the lines hold.

It knows how a server writes a line, and nothing of how one is read.
"""

import random

CLIENTS = ["203.0.113.7", "2001:db8::1", "[::ffff:203.0.113.9]", "c-1.example.org", "-", "unix:"]
TIMES = [("26/Feb/2024:00:01:02 +0000", "00:01"), ("30/Jun/2015:23:59:60 +0000", "23:59")]
REQUESTS = [
    "GET /a/b?c HTTP/1.1",
    "",
    r"\x16\x03",
    "-",
    r"GET /\"x\" HTTP/1.1",
    "OPTIONS * HTTP/1.0",
]
AGENTS = [
    "-",
    "Mozilla/5.0 (X11; rv:126.0)",
    r"say \"hi\" \\",
    "caf\xc3\xa9",
    "[01/Jan/2030:00:00:00 +0000]",
]
NGINX = {
    "client": "$remote_addr",
    "user": "$remote_user",
    "time": "[$time_local]",
    "request": '"$request"',
    "status": "$status",
    "size": "$body_bytes_sent",
    "referer": '"$http_referer"',
    "agent": '"$http_user_agent"',
    "quoted": '"${http_x_any}"',
    "plain": "$request_time",
    "bar": "$http_cookie",
    "list": "$upstream_response_time",
}
APACHE = NGINX | {
    "client": "%h",
    "user": "%u",
    "time": "%t",
    "request": '\\"%r\\"',
    "status": "%>s",
    "size": "%b",
    "referer": '"%{Referer}i"',
    "agent": '\\"%!200,304{User-agent}i\\"',
    "quoted": '"%{X-Any}o"',
    "plain": "%D",
    "bar": "%{cookie}n",
    "list": "%{upstream}n",
}
WORDS = {
    "client": CLIENTS,
    "user": ["-", "bob", "b@x.org", "\xe4"],
    "request": REQUESTS,
    "status": ["200", "404", "000"],
    "size": ["0", "-", "512"],
    "referer": AGENTS,
    "agent": AGENTS,
    "quoted": AGENTS,
    "plain": ["0.123", "-", "x=1"],
    "bar": ["a b|c", "", "-"],
    "list": ["0.1", "0.1, 0.2", "0.1, 0.2 : 0.3", "-"],
}
SEPARATORS = [" ", " ", " ", " | ", "\t", "; ", " x=", "'", " {$1} %% "]


def made(chance: random.Random) -> tuple[str, list[tuple[bytes, dict[str, str]]]]:
    """A format, and lines with the fields that they have (text as ISO-8859-1)."""
    nginx = chance.random() < 0.5
    words = NGINX if nginx else APACHE
    kinds = ["client", "time", "request", "status"]
    kinds += [kind for kind in words if kind not in kinds and chance.random() < 0.5]
    chance.shuffle(kinds)
    between = [chance.choice(SEPARATORS) for _ in kinds]
    fits = [sep.replace("{$1}", "") if nginx else sep for sep in between]
    # What holds blanks or bars stands where they are no end; a user only before what is plain.
    ends = [
        "; " if kind in ("bar", "user", "list", "client") else sep
        for kind, sep in zip(kinds, fits, strict=True)
    ]
    form = "".join(words[kind] + sep for kind, sep in zip(kinds, [*ends[:-1], ""], strict=True))
    lines = [_line(chance, kinds, ends, nginx) for _ in range(8)]
    return form, lines


def _line(
    chance: random.Random, kinds: list[str], ends: list[str], nginx: bool
) -> tuple[bytes, dict[str, str]]:
    fields: dict[str, str] = {}
    text = ""
    for kind, end in zip(kinds, [*ends[:-1], ""], strict=True):
        if kind == "time":
            printed, fields["minute"] = chance.choice(TIMES)
            text += f"[{printed}]"
        else:
            value = chance.choice(WORDS[kind])
            value = "-" if kind == "bar" and not end else value
            fields[kind] = value
            text += f'"{value}"' if kind in ("request", "referer", "agent", "quoted") else value
        text += end if nginx else end.replace("%%", "%")
    return text.encode("latin-1"), fields
