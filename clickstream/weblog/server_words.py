"""A log format in the server's own words, nginx's log_format or Apache's LogFormat, compiled.

It becomes one more of the family of expressions (`weblog.pattern`): literal text, and fields
between it. A field in double quotes ends at a quote that is not escaped, any other before the text
that follows it. So two fields with nothing between them cannot be told apart, and are refused.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from clickstream.weblog import pattern
from clickstream.weblog.clients import CLIENT, PORT
from clickstream.weblog.pattern import ANY_USER, END, IDENT, MORE, QUOTED, TIME, USER, Format

NGINX = {
    "remote_addr": "host",
    "remote_user": "user",
    "time_local": "time",
    "request": "request",
    "status": "status",
    "body_bytes_sent": "size",
    "bytes_sent": "size",
    "http_referer": "referer",
    "http_user_agent": "agent",
}
APACHE = {"h": "host", "a": "host", "l": "ident", "u": "user", "r": "request", "s": "status"}
APACHE |= {"b": "size", "B": "size", "O": "size", "referer": "referer", "user-agent": "agent"}
REQUIRED = {
    "time": "time (%t, $time_local)",
    "request": "request (%r, $request)",
    "status": "status (%>s, $status)",
    "host": "client (%h, $remote_addr; any other: servers.NAME.client)",
}
STANDARD_TIME = "%d/%b/%Y:%H:%M:%S %z"
_TYPED = {"status": "[0-9]{3}", "size": "(?:[0-9]++|-)", "time": TIME}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DIRECTIVE = re.compile(
    r"%(?:!?[0-9]{3}(?:,[0-9]{3})*)?[<>]?(?:\{([^}]*)\})?[<>]?(\^?[A-Za-z]{1,3})?"
)
_LETTERS = re.compile(r"\^(?:FB|ti|to)|[aAbBCDefhHikKlLmnopPqrRsStTuUvVXIO]")
_ESCAPE = re.compile(r"\\(.)")
_WRITTEN = {"t": "\t"}
_WHOLE = re.compile(
    r"\s*(?:log_format\s+\S+(?:\s+escape=\w+)?|LogFormat)\s+(.*?)(?:\s+[A-Za-z0-9_-]+)?\s*;?\s*\Z",
    re.S,
)
_STRING = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", re.S)
_LIST = re.compile("forwarded|upstream", re.IGNORECASE)
_SEPARATORS = ("\t", "|", ";", ",")
_OPENING = "\"'[({"


class NoClient(ValueError):
    """The format has no field that is a client by itself."""


class _Field(NamedTuple):
    """A field as it is written, where it is, and what it is to us (empty: matched and left out)."""

    words: str
    at: int
    kind: str


_Token = _Field | str


@lru_cache(maxsize=256)
def compiled(text: str, client: str = "") -> Format:
    """The format that a server's words describe; `client` names the field that is the client.

    With `client` the first address of a list is taken, and a port behind it is cut off. Raises
    ValueError, which says what cannot be read, and where.
    """
    tokens = [*_tokens(_unwrapped(text))]
    tokens = _with_client(tokens, client) if client else tokens
    _require(tokens)
    strict, loose = (_expression(tokens, bool(client), any_word) for any_word in (False, True))
    reading = f"{strict}{END}"
    name = f"{text} (client {client})" if client else text
    return pattern.build(name, reading, reading, f"{strict}{MORE}{END}", f"{loose}{END}")


def _unwrapped(text: str) -> str:
    """The format of a whole directive, or of a quoted string: what stands within the quotes."""
    if whole := _WHOLE.match(text):
        text = whole[1]
    strings = [*_STRING.finditer(text)]
    if strings and _STRING.sub("", text).strip() == "":
        text = "".join(found[1][1:-1] for found in strings)
    if re.search(r"\\n|\n", text):
        raise ValueError("a line feed ends a line: it cannot stand in a format")
    return _ESCAPE.sub(lambda found: _WRITTEN.get(found[1], found[1]), text)


def _tokens(text: str) -> Iterator[_Token]:
    """The text's literals and fields in turn; raises ValueError for two fields side by side."""
    nginx = re.search(r"\$\{?[a-z]", text) is not None
    if not nginx and "%" not in text:
        raise ValueError(f"{text!r} names no format, and holds no field ($request, %r)")
    literal, before = "", None
    for token in _nginx(text) if nginx else _apache(text):
        if isinstance(token, str):
            literal += token
            continue
        if before and not literal:
            raise ValueError(
                f"two fields with nothing between them, {before.words}{token.words},"
                f" at character {before.at + 1}: nobody can tell where the second one begins"
            )
        yield from (literal, token) if literal else (token,)
        literal, before = "", token
    if literal:
        yield literal


def _nginx(text: str) -> Iterator[_Token]:
    end = 0
    for found in _VARIABLE.finditer(text):
        name = found[1] or found[2]
        if name == "time_iso8601":
            raise ValueError(f"the time {found[0]} cannot be read: write $time_local instead")
        yield from (
            text[end : found.start()],
            _Field(f"${name}", found.start(), NGINX.get(name, "")),
        )
        end = found.end()
    yield text[end:]


def _apache(text: str) -> Iterator[_Token]:
    text = text.replace("%m %U%q %H", "%r")
    end = 0
    while (start := text.find("%", end)) >= 0:
        yield text[end:start]
        if text.startswith("%%", start):
            yield "%"
            end = start + 2
            continue
        found = _DIRECTIVE.match(text, start)
        letters = _LETTERS.match(found[2] or "") if found else None
        if found is None or letters is None:
            raise ValueError(
                f"Apache has no field {text[start : start + 4]!r} (character {start + 1})"
            )
        end = found.start(2) + len(letters[0])
        yield from _directive(found[1], letters[0], start)
    yield text[end:]


def _directive(argument: str | None, letters: str, at: int) -> Iterator[_Token]:
    words = f"%{{{argument}}}{letters}" if argument is not None else f"%{letters}"
    if letters == "t":
        bare = (argument or f"[{STANDARD_TIME}]").removeprefix("begin:")
        before, standard, after = bare.partition(STANDARD_TIME)
        if not standard or "%" in before + after:
            raise ValueError(
                f"the time {words} at character {at + 1} cannot be read: write %t, or"
                f" %{{{STANDARD_TIME}}}t"
            )
        yield from (before, _Field(words, at, "time"), after)
    elif letters == "i":
        yield _Field(words, at, APACHE.get((argument or "").lower(), ""))
    else:
        yield _Field(words, at, "" if argument else APACHE.get(letters, ""))


def _with_client(tokens: list[_Token], client: str) -> list[_Token]:
    """The tokens with this field as the host, and no other."""
    fields = [each for each in tokens if isinstance(each, _Field)]
    wanted = client.strip().replace("${", "$").replace("%>", "%")
    wanted = wanted.rstrip("}") if wanted.startswith("$") else wanted
    named = [each for each in fields if each.words.lower() == wanted.lower()]
    if not named:
        names = ", ".join(dict.fromkeys(each.words for each in fields))
        raise ValueError(f"the client {client} is not in the format; its fields: {names}")
    others = [
        each._replace(kind="") if isinstance(each, _Field) and each.kind == "host" else each
        for each in tokens
    ]
    others[tokens.index(named[0])] = named[0]._replace(kind="host")
    return others


def _is(token: _Token, kind: str) -> bool:
    return isinstance(token, _Field) and token.kind == kind


def _require(tokens: list[_Token]) -> None:
    for kind, what in REQUIRED.items():
        if not any(_is(token, kind) for token in tokens):
            error = NoClient if kind == "host" else ValueError
            raise error(f"the format has no {what}")
    at = next(n for n, token in enumerate(tokens) if _is(token, "request"))
    before, after = _around(tokens, at)
    if before[-1:] != '"' or after[:1] != '"':
        raise ValueError("the request holds blanks: it must stand in double quotes")


def _expression(tokens: list[_Token], listed: bool, any_word: bool) -> str:
    """The expression of a line, without its end; `any_word`: whoever stands as the client."""
    parts, seen, quotes = [], set[str](), 0
    for number, token in enumerate(tokens):
        if isinstance(token, str):
            parts.append(_literal(token))
            quotes += token.count('"')
            continue
        kind = "" if token.kind in seen else token.kind
        seen.add(kind)
        before, after = _around(tokens, number)
        word = _word(token, before, after, quotes % 2 == 1)
        if kind == "host" and not any_word:
            word = _first_client(word) if listed else CLIENT
        elif kind in ("user", "ident"):
            word = _column(kind, word, tokens, number, any_word)
        if kind == "time":
            parts.append(TIME)
        elif kind == "host" and listed and not any_word:
            parts.append(word)
        else:
            word = _TYPED.get(token.kind, word)
            parts.append(f"(?P<{kind}>{word})" if kind else _anonymous(word))
    return "".join(parts)


def _anonymous(word: str) -> str:
    return f"(?:{pattern.grouped(word, ())})"


def _around(tokens: list[_Token], number: int) -> tuple[str, str]:
    """The literal texts before and after a token."""
    sides = (tokens[number - 1] if number else "", *tokens[number + 1 : number + 2], "")
    before, after = (each if isinstance(each, str) else "" for each in sides[:2])
    return before, after


def _column(kind: str, word: str, tokens: list[_Token], number: int, any_word: bool) -> str:
    """A user may hold blanks where the time follows; neither column holds an address."""
    followed = tokens[number + 1 : number + 3]
    if kind == "user" and followed[:1] == [" ["] and len(followed) > 1 and _is(followed[1], "time"):
        return ANY_USER if any_word else USER
    return IDENT if word == "[^ ]++" and not any_word else word


def _word(field: _Field, before: str, after: str, quoted: bool) -> str:
    """What may stand in a field that ends before the text `after`."""
    if quoted and after[:1] == '"':
        return QUOTED
    stop = _in_class(after[:1])
    if quoted:
        return rf'[^"\\\n{stop}]*+(?:\\[\s\S][^"\\\n{stop}]*+)*+'
    listed = _LIST.search(field.words) is not None
    if not after:
        stop = _in_class(before[-1:] if before.endswith(_SEPARATORS) else " ") + r"\r\n"
        return _list(stop) if listed else f"[^{stop}]++"
    if after[0] == " " and (len(after) == 1 or after[1] in _OPENING):
        return _list(" ") if listed else "[^ ]++"
    rest = _literal(after[1:])
    return f"[^{stop}]*+(?:{_literal(after[0])}(?!{rest})[^{stop}]*+)*+" if rest else f"[^{stop}]*+"


def _list(stop: str) -> str:
    """Words with commas or colons between, as the lists of addresses and times have them."""
    return f"[^{stop},]++(?: ?[,:] ?[^{stop},]++)*+"


def _first_client(word: str) -> str:
    """The first address of a list, without its port; the rest of the list is left out."""
    rest = "(?:, ?[^ ,]++)*+" if word.startswith("[^ ") else f"(?:,{word})?+"
    return f"(?P<host>{CLIENT})(?:{PORT})?+{rest}"


def _literal(text: str) -> str:
    """The bytes of a text as an expression; a quote, a blank and the like stand for themselves."""
    return "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in ' ":,/=;_-')
        else f"\\x{byte:02x}"
        for byte in text.encode()
    )


def _in_class(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode()[:1])
