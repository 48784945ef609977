"""How many examples hypothesis tries: more of them in `make test-all`."""

from hypothesis import settings

DEFAULT = 100


def examples(number: int) -> int:
    """The number for a test, in proportion to the profile that is loaded."""
    return max(1, number * settings.default.max_examples // DEFAULT)
