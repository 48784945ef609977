"""Supervision: an agent that dies is started again, later each time, and given up loudly."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.errors import NotRunning, ServiceFailed
from clickstream.ingest.flume import agent_config, agents
from clickstream.ingest.flume.agent import Agent, Notify
from clickstream.runtime.process import ENDING, signals_handled, signals_interrupt

POLL_S = 1.0


class Policy(NamedTuple):
    """The limits of supervision: `attempts` restarts, none of which lasted `reset_s` seconds.

    They are `first_s`, twice that, … at most `most_s` seconds apart.
    """

    attempts: int
    reset_s: float
    most_s: float
    first_s: float = 1.0


class Restarts:
    """Decides when an agent may be restarted. Pure: `now` is handed in, seconds of any clock."""

    def __init__(self, policy: Policy) -> None:
        self.attempts = 0
        self._policy = policy
        self._up_since: float | None = None

    def up(self, now: float) -> None:
        """The agent is up; when it has been so for long enough, all is forgiven."""
        if self._up_since is None:
            self._up_since = now
        elif now - self._up_since >= self._policy.reset_s:
            self.attempts = 0

    def down(self) -> float | None:
        """The agent is down: seconds until it should be started again; None = give up."""
        self._up_since = None
        if self.attempts >= self._policy.attempts:
            return None
        self.attempts += 1
        doubled: float = self._policy.first_s * 2 ** min(self.attempts - 1, 30)
        return min(self._policy.most_s, doubled)


def supervise(settings: Settings, names: list[str], notify: Notify) -> None:
    """Start the agents named (or all) and keep them up; returns when all are stopped elsewhere.

    Whatever ends it (KeyboardInterrupt by Ctrl-C, SIGTERM or a hang-up; ServiceFailed that names
    an agent it gave up and its last error), the agents are stopped. What an agent's start repairs
    (orphaned files, unexpected files in a spool) is repaired before each restart.
    """
    chosen = agent_config.chosen(settings, names)
    supervised = [_SupervisedAgent(settings, name, notify) for name in chosen]
    with signals_interrupt():
        try:
            _start_all(settings, chosen, notify)
            while [agent for agent in supervised if agent.look(time.monotonic())]:
                time.sleep(POLL_S)
        finally:
            with _signals_ignored():
                _stop_all(settings, chosen, notify)


def policy(settings: Settings) -> Policy:
    """The policy that the settings ask for."""
    ours = settings.flume
    return Policy(ours.restart_attempts, ours.restart_reset_seconds, ours.restart_max_delay_seconds)


class _SupervisedAgent:
    """An agent under supervision; `due` is when it is to be started again."""

    def __init__(self, settings: Settings, name: str, notify: Notify) -> None:
        self._settings = settings
        self._notify = notify
        self._agent = Agent(settings, name)
        self._restarts = Restarts(policy(settings))
        self._due: float | None = None
        self._stopped = False
        self._silent_since: float | None = None

    def look(self, now: float) -> bool:
        """Check the agent once; False while it is stopped. Raises ServiceFailed to give it up."""
        if self._rests():
            return False
        if self._due is None:
            trouble = self._trouble(now)
            if trouble:
                self._went_down(trouble, now)
            else:
                self._restarts.up(now)
        elif now >= self._due:
            self._due = None
            self._start_again()
        return True

    def _rests(self) -> bool:
        """Tell whether somebody stopped it: it is not restarted until somebody starts it."""
        before, self._stopped = self._stopped, self._agent.state().stopped
        if self._stopped and not before:
            self._notify(f"{self._agent.name} was stopped, and rests until it is started")
        return self._stopped

    def _start_again(self) -> None:
        name = self._agent.name
        try:
            agents.start(self._settings, [name], self._notify)
        except Exception as error:  # whatever it is, the answer is to try again or to give up
            self._went_down(str(error) or type(error).__name__, time.monotonic())
        else:
            self._notify(f"{name} is up again")

    def _trouble(self, now: float) -> str:
        """Silence is borne for as long as a start may take: a busy machine is no dead agent."""
        try:
            trouble = self._agent.trouble()
        except NotRunning as silence:
            self._silent_since = self._silent_since or now
            timeout_s = self._settings.flume.start_timeout_seconds
            return silence.message if now - self._silent_since > timeout_s else ""
        self._silent_since = None
        return trouble

    def _went_down(self, why: str, now: float) -> None:
        delay = self._restarts.down()
        name, attempts = self._agent.name, self._restarts.attempts
        if delay is None:
            raise ServiceFailed(
                f"gave up on {name} after {attempts} restarts: {why}",
                f"log: {self._agent.child.log}",
            )
        self._notify(f"{why}; starting {name} again in {delay:g} s ({attempts})")
        self._due = now + delay


def _start_all(settings: Settings, names: list[str], notify: Notify) -> None:
    """A first start that fails is no end: the agents that are down will be started again."""
    for name in names:
        Agent(settings, name).want(True)
    try:
        agents.start(settings, names, notify)
    except Exception as error:
        notify(str(error))
    notify(f"supervising {', '.join(names)}; Ctrl-C stops them")


def _stop_all(settings: Settings, names: list[str], notify: Notify) -> None:
    try:
        notify(f"stopping {', '.join(names)}")
    finally:  # even when nobody listens any more
        agents.stop(settings, names)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """While agents are stopped, which ends by itself, a second Ctrl-C would leave some running."""
    with signals_handled(signal.SIG_IGN, (signal.SIGINT, *ENDING)):
        yield
