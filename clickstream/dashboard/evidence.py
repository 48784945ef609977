"""The evidence of alerts for the page: Spark jobs in the background, one at a time."""

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from clickstream.dashboard.watcher import Now, problem
from clickstream.errors import ClickstreamError
from clickstream.serve import evidence

if TYPE_CHECKING:
    from clickstream.config import Settings

TOP = 10
KEPT = 50
WAITING = "the lines of another alert are being read"


class EvidenceJobs:
    """Answers per alert: 202 and the stage while its job runs, 200 and the rows, 503 if it failed.

    A failure is told once: who asks again starts the job again.
    """

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._running = ""
        self._answers: OrderedDict[str, Now] = OrderedDict()

    def answer(self, alert: str) -> Now:
        """What is known of an alert's evidence by its id; starts the job where nothing is."""
        with self._lock:
            known = self._answers.get(alert)
            if known is None and self._running:
                return _stage(WAITING)
            if known is None:
                self._running = alert
                known = self._keep(alert, _stage("starting"))
                threading.Thread(target=self._collect, args=(alert,), daemon=True).start()
            elif known.status == 503:
                del self._answers[alert]
            return known

    def _collect(self, alert: str) -> None:
        try:
            found = evidence.find(self._settings, alert)
            collected = evidence.collect(
                self._settings, found, TOP, lambda stage: self._note(alert, _stage(stage))
            )
            answer = Now(200, _json({"lines": collected.lines, "rows": collected.rows}))
        except ClickstreamError as error:
            answer = Now(503, problem(error))
        except BaseException:
            answer = Now(503, problem(ClickstreamError("the job failed", "see the terminal")))
            raise
        finally:
            with self._lock:
                self._running = ""
                self._keep(alert, answer)

    def _note(self, alert: str, answer: Now) -> None:
        with self._lock:
            self._keep(alert, answer)

    def _keep(self, alert: str, answer: Now) -> Now:
        self._answers[alert] = answer
        self._answers.move_to_end(alert)
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return answer


def _stage(text: str) -> Now:
    return Now(202, _json({"stage": text}))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
