"""Questions asked side by side, each in a thread of its own: one that hangs is left to itself."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from clickstream.console.program import LEFT_ALONE

T = TypeVar("T")


class Asked(Generic[T]):
    """A question on its way to its answer; it must not raise. The program does not wait for it."""

    def __init__(self, name: str, question: Callable[[], T]) -> None:
        self._answers: list[T] = []
        self._thread = threading.Thread(
            target=lambda: self._answers.append(question()),
            name=f"{LEFT_ALONE}{name}",
            daemon=True,
        )
        self._thread.start()

    def answer(self, due: float) -> T | None:
        """The answer; None where there is none at a moment of the monotonic clock."""
        self._thread.join(max(0.0, due - time.monotonic()))
        return None if self._thread.is_alive() else self._answers[0]
