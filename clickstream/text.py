"""Hostile text on a terminal: what a log line holds is shown, never obeyed."""


def show_bytes(latin1: str) -> str:
    """Text that stands for bytes (ISO-8859-1) as UTF-8 where it is that, else `\\xhh`; printable."""
    text = latin1.encode("iso-8859-1", "replace").decode("utf-8", "backslashreplace")
    return printable(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """The text with every character that is not printable (controls, escapes, bidi marks) escaped.

    Line ends and blanks stay: our own messages have them.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
