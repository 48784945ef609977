"""Hostile text on a terminal: what a log line holds is shown, never obeyed."""

EXCERPT_BYTES = 160


def show_bytes(latin1: str) -> str:
    """Text that stands for bytes (ISO-8859-1) as UTF-8 where it is that, else `\\xhh`; one line.

    Text with a character that is no byte did not come from a log: it is shown as it is.
    """
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
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(char: str) -> str:
    # U+0085 must not look like the lone byte \x85, so \x stays for ASCII and bytes.
    if char.isascii():
        return char.encode("unicode_escape").decode("ascii")
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
