"""Settings as trees: what flags, environment and file hold, laid over one another.

A tree is nested tables of plain values, `{"kafka": {"topic": "t"}}`; a key is the path to a leaf.
"""

import json
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from clickstream.errors import UsageError

PREFIX = "CLICKSTREAM_"
NESTED = "__"

Tree = dict[str, Any]
Key = tuple[str, ...]


def read(file: Path) -> Tree:
    """A TOML file; raises UsageError when it cannot be read, or sets the home."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if "home" in tree:
        raise UsageError(f"{file} sets home", "choose it with --home or CLICKSTREAM_HOME")
    return tree


def environment(fields: Collection[str]) -> dict[Key, str]:
    """Our keys among the variables: nested ones, and single names that are among `fields`."""
    found = {}
    for name, text in os.environ.items():
        key = tuple(name.removeprefix(PREFIX).lower().split(NESTED))
        setting = len(key) > 1 or key[0] in fields
        if name.startswith(PREFIX) and setting and key != ("home",):
            found[key] = text
    return found


def parsed(texts: Mapping[Key, str], plain: Collection[Key]) -> Tree:
    """`{("kafka", "topic"): "t"}` -> `{"kafka": {"topic": "t"}}`; JSON for lists and tables.

    The text of a `plain` key is taken as it stands.
    """
    return laid_over(
        [_branch(key, text if key in plain else _value(text)) for key, text in texts.items()]
    )


def _branch(key: Sequence[str], value: Any) -> Tree:
    return {key[0]: _branch(key[1:], value) if key[1:] else value}


def laid_over(trees: Sequence[Tree]) -> Tree:
    """One tree of all keys; the first tree that holds a key gives its value."""
    merged: Tree = {}
    for tree in reversed(trees):
        merged = _over(tree, merged)
    return merged


def _over(upper: Tree, lower: Tree) -> Tree:
    both = {
        key: _over(value, lower[key])
        for key, value in upper.items()
        if isinstance(value, dict) and isinstance(lower.get(key), dict)
    }
    return lower | upper | both


def _value(text: str) -> Any:
    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def leaves(tree: Tree, prefix: Key = ()) -> dict[Key, Any]:
    """Every value by its key; an empty table is a value."""
    found: dict[Key, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, (*prefix, key))
        else:
            found[(*prefix, key)] = value
    return found


def holds(tree: Any, loc: Sequence[Any]) -> bool:
    """Whether the tree has something at this key."""
    for part in loc:
        keys = range(len(tree)) if isinstance(tree, list) else tree
        if not isinstance(keys, dict | range) or part not in keys:
            return False
        tree = tree[part]
    return True
