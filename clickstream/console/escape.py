"""Text on a terminal: what a log line holds is shown, never obeyed, in the terminal's encoding."""

import codecs
import io
import sys

EXCERPT_BYTES = 160
PLAIN = str.maketrans(
    dict.fromkeys("─━–—", "-")
    | dict.fromkeys("█▉▊▋▌", "#")
    | dict.fromkeys("▍▎▏", ".")
    | dict.fromkeys(map(chr, range(0x2800, 0x2900)), "*")  # the turning signs of rich
    | {"…": "...", "·": "|", "→": "->", "×": "x", "•": "*", "│": "|"}
)
"""What we draw with ourselves, where the terminal cannot show it."""
_ESCAPED, _DRAWN = "clickstream.escaped", "clickstream.drawn"
_ASCII = "clickstream_ascii"


def show_bytes(latin1: str) -> str:
    """Text that stands for bytes (ISO-8859-1) as UTF-8 where it is that, else `\\xhh`; one line.

    Text with a character that is no byte did not come from a log: it is shown as it is.
    """
    if latin1.isascii() and latin1.isprintable():
        return latin1
    try:
        text = latin1.encode("iso-8859-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        text = latin1
    return printable(text).replace("\n", "\\n")


def excerpt(raw: bytes, size: int = 0) -> str:
    """The beginning of a line of a log, as `show_bytes`; where it is cut, its length in bytes.

    `size` is that length where `raw` is not all of it.
    """
    shown = show_bytes(raw[:EXCERPT_BYTES].decode("iso-8859-1"))
    size = max(size, len(raw))
    return shown if size <= EXCERPT_BYTES else f"{shown}… ({size:,} bytes)"


def printable(text: str) -> str:
    """The text with every character that is not printable (controls, escapes, bidi marks) escaped.

    Line ends and blanks stay: our own messages have them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(char: str) -> str:
    # U+0085 must not look like the lone byte \x85, so \x stays for ASCII and bytes.
    if char.isascii():
        return char.encode("unicode_escape").decode("ascii")
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def encodable(text: str, encoding: str) -> str:
    """The text with every character escaped that the encoding lacks."""
    return text.encode(encoding, _ESCAPED).decode(encoding)


def drawn(text: str, encoding: str) -> str:
    """As `encodable`, but what we draw with ourselves is drawn with ASCII."""
    return text.encode(encoding, _DRAWN).decode(encoding)


def escape_output() -> None:
    """Let nothing that this process prints fail for the encoding of stdout or stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_ASCII if ascii_only else None, errors=_DRAWN)


def _escape_lacking(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


def _draw_lacking(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end].translate(PLAIN)
    return "".join(c if c.isascii() else _escape(c) for c in lacking), error.end


def _ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII under another name: Typer writes UTF-8 to a stream that says it is ASCII."""
    if name != _ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        known.streamreader,
        known.streamwriter,
        known.incrementalencoder,
        known.incrementaldecoder,
        name,
    )


codecs.register_error(_ESCAPED, _escape_lacking)
codecs.register_error(_DRAWN, _draw_lacking)
codecs.register(_ascii)
