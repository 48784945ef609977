"""Secrets among the settings: which keys hold one, where one may stand, and how it is shown.

A secret comes by the environment, by a configuration file that is its owner's alone, or by a file
of its own (`password_file` for `password`). Never by a flag: that stands in the list of processes,
and children of ours are given the flags again.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from clickstream.config import layers
from clickstream.config.layers import NESTED, PREFIX, Key, Tree
from clickstream.errors import UsageError

MASK = "***"
OF_OTHERS = 0o077
FILE = "_file"
SECRET_KEY = re.compile(r"password|secret|token|credential|jaas|webhook", re.IGNORECASE)
URL_PASSWORD = re.compile(r"(://[^:/@]*:).*(?=@)")
URL_OPTION = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def keys(model: type[BaseModel], prefix: Key = ()) -> Iterator[Key]:
    """The keys of a model that hold a secret."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if kind is SecretStr:
            yield (*prefix, name)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, (*prefix, name))


def masked(name: str, value: Any) -> str:
    """A value as it may be shown; `name` is the last part of its key."""
    secret = isinstance(value, SecretStr)
    text = value.get_secret_value() if secret else str(value)
    named = SECRET_KEY.search(name) and not name.endswith(FILE)
    if text and (named or (secret and "://" not in text)):
        return MASK
    return URL_OPTION.sub(rf"\1{MASK}", URL_PASSWORD.sub(rf"\1{MASK}", text))


def refuse_in_flags(tree: Tree, secret: Collection[Key]) -> None:
    """Raise UsageError where a flag gives a secret."""
    for key in _given(tree, secret):
        variable = PREFIX + NESTED.join(key).upper()
        raise UsageError(
            f"{'.'.join(key)} is a secret, and every user of this machine may read a command line",
            f"set {variable} in the environment{_or_file(key)}",
        )


def refuse_in_public(tree: Tree, secret: Collection[Key], file: Path) -> None:
    """Raise UsageError where a configuration file gives a secret, and others may read it."""
    for key in _given(tree, secret):
        if file.stat().st_mode & OF_OTHERS:
            raise UsageError(
                f"{file} holds {'.'.join(key)}, and others may read it ({_mode(file)})",
                f"chmod 600 {file}",
            )


def nearest(trees: Sequence[Tree], secret: Collection[Key]) -> list[Tree]:
    """The trees with one of a secret and its file: the first tree with either goes before others.

    Raises UsageError where one tree gives both.
    """
    left = list(trees)
    for key in secret:
        pair = {key, (*key[:-1], key[-1] + FILE)}
        holding = [i for i, tree in enumerate(left) if any(layers.holds(tree, k) for k in pair)]
        if holding and all(map(layers.leaves(left[holding[0]]).get, pair)):
            named = " and ".join(".".join(each) for each in sorted(pair))
            raise UsageError(f"{named} are both given", "give one of them")
        for later in holding[1:]:
            left[later] = _without(left[later], pair)
    return left


def _without(tree: Tree, left_out: Collection[Key], at: Key = ()) -> Tree:
    """The tree without these keys, in its order: that of the servers is of weight."""
    return {
        name: _without(value, left_out, (*at, name)) if isinstance(value, dict) else value
        for name, value in tree.items()
        if (*at, name) not in left_out
    }


def read(path: Path, key: str) -> str:
    """The secret in a file; raises UsageError where there is none, or others may read it."""
    require_private(path, key)
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not UTF-8"
        raise UsageError(f"{key}: {path} cannot be read: {reason}") from None
    if not text:
        raise UsageError(f"{key}: {path} is empty")
    return text


def require_private(path: Path, key: str) -> None:
    """Raise UsageError where there is no such file, or others may read it; `key` names it."""
    if not path.is_file():
        raise UsageError(f"{key}: there is no file {path}")
    if path.stat().st_mode & OF_OTHERS:
        raise UsageError(f"{key}: others may read {path} ({_mode(path)})", f"chmod 600 {path}")


def _given(tree: Tree, secret: Collection[Key]) -> Iterator[Key]:
    """The keys with a secret in a tree: a URL without a password is none."""
    for key, value in layers.leaves(tree).items():
        if key in secret and masked(key[-1], SecretStr(str(value))) != str(value):
            yield key


def _or_file(key: Key) -> str:
    """What else to do: a password may stand in a file of its own, that of a URL, too."""
    name = ".".join(key).replace("url", "password")
    return f", or name its file with {name}{FILE}" if "password" in name else ""


def _mode(path: Path) -> str:
    return f"mode {os.stat(path).st_mode & 0o7777:04o}"
