"""One run: logs are put, a replay goes on, the fault strikes, and all must be there in the end."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.ingest import source
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import Agent
from clickstream.ledger import Ledger
from clickstream.runtime.process import wait_until
from tests.faults import services
from tests.faults.logs import Log, make
from tests.faults.services import Services
from tests.stack.homes import runner
from tests.stack.stores import open_files_hold_lines

RATES = (3000, 4000, 6000)
MOMENT_S = 120
REPLAY_S = 300


class Run:
    """The actions of a fault on a home while it replays. All chance comes out of `rng`.

    Of the fault: `note` says what the seed chose, `lifted` when it was over by the monotonic clock,
    `may_fail` that the replay in the background may end with an error. `recovered`: how many files
    left open `ingest start` has closed.
    """

    def __init__(
        self, settings: Settings, stack: Services, name: str, seed: int, parts: int, directory: Path
    ) -> None:
        self.settings = settings
        self.stack = stack
        self.rng = random.Random(f"moment/{name}/{seed}")
        self.parts = parts
        self.logs = make(name, seed, list(settings.servers), parts)
        self.clickstream = runner(settings)
        self.may_fail = False
        self.note = ""
        self.lifted = 0.0
        self.recovered = 0
        self._directory = directory
        self._rate = self.rng.choice(RATES)
        self._replay: subprocess.Popen[bytes] | None = None
        self._before = (0, 0)
        self._complaints = directory / "replay.err"

    def put(self, logs: Sequence[Log]) -> None:
        """Store logs as sources in HDFS."""
        for log in logs:
            path = self._directory / log.name
            path.write_bytes(log.content)
            source.put(self.settings, path, log.server)

    def begin(self, fault_point: str = "") -> None:
        """Start a paced replay in the background; it kills itself at a fault point `name:n`."""
        env = self.settings.child_env() | {"CLICKSTREAM_FAULT": fault_point}
        argv = [sys.executable, "-m", "clickstream.cli", "ingest", "replay", "--rate"]
        with self._complaints.open("ab") as errors:
            self._replay = subprocess.Popen(
                [*argv, str(self._rate)],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def count_from_here(self) -> None:
        """Set the baseline: the lines that ledger and collector have now are of earlier runs."""
        self._before = (self._spooled(), self._collected())

    def moment(self) -> float:
        """A seeded share of the lines: from a tenth to all but what no agent ever sees."""
        return self.rng.uniform(0.1, 0.99)

    def until_spooled(self, share: float) -> None:
        """Wait until such a share of this run's lines is in the ledger, and a seeded bit longer."""
        self._until(lambda: self._spooled() - self._before[0], share, "spooled")

    def until_collected(self, share: float) -> None:
        """Wait until agent3 has taken such a share of the lines, and a seeded bit longer."""
        self._until(lambda: self._collected() - self._before[1], share, "collected")

    def until_open(self) -> None:
        """Wait until a file that agent3 has open in HDFS holds lines that stand nowhere else."""
        hdfs = Hdfs.connect(self.settings)
        what = "an open file's holding lines"
        wait_until(lambda: open_files_hold_lines(hdfs, self.settings), MOMENT_S, what)

    def kill_replay(self) -> None:
        """kill -9 of the replay in the background."""
        assert self._replay
        self._replay.kill()
        self._replay.wait()
        self._replay = None

    def await_suicide(self) -> None:
        """Wait until the replay in the background has killed itself at its fault point."""
        assert self._replay
        code = self._replay.wait(REPLAY_S)
        self._replay = None
        assert code == -signal.SIGKILL, f"replay ended with {code} before its fault point"

    def kill(self, *agents: str) -> None:
        """kill -9 of agents, all at once."""
        pids = [running.pid for name in agents if (running := Agent(self.settings, name).running())]
        assert len(pids) == len(agents), f"not all of {agents} were running"
        services.kill_all(pids)

    @contextmanager
    def suspended(self, *agents: str) -> Iterator[None]:
        """Agents that are stopped in their tracks while the block lasts."""
        with ExitStack() as held:
            for name in agents:
                running = Agent(self.settings, name).running()
                assert running, f"{name} was not running"
                held.enter_context(services.suspended(running.pid))
            yield

    def start(self, *agents: str) -> None:
        """Start agents, all by default."""
        output = self.clickstream("ingest", "start", *agents).stdout
        self.recovered += output.count("recovered ")

    def agents(self) -> list[str]:
        """The names of all agents, the collector last."""
        return agent_config.agents(self.settings)

    def lift(self) -> None:
        """From here on the recovery is timed."""
        self.lifted = time.monotonic()

    def recover(self) -> float:
        """Do what a user does after a fault; returns the seconds it took since it was lifted."""
        self.start()
        self.end_of_replay()
        self.clickstream("ingest", "replay", "--wait")
        return time.monotonic() - self.lifted

    def end_of_replay(self) -> str:
        """Wait for the replay in the background; its complaint, where it may fail and did."""
        if self._replay is None:
            return ""
        code = self._replay.wait(REPLAY_S)
        self._replay = None
        output = self._complaints.read_text("utf-8", "replace")
        assert "Traceback" not in output, output
        assert code == 0 or (self.may_fail and "Error: " in output), (
            f"replay ended with {code}\n{output}"
        )
        return output if code else ""

    def abandon(self) -> None:
        """Leave no replay behind, whatever happened."""
        if self._replay is not None:
            self.kill_replay()

    def _spooled(self) -> int:
        with Ledger.open(self.settings.files.ledger) as ledger:
            return ledger.totals().total()

    def _collected(self) -> int:
        collector = Agent(self.settings, self.settings.collector)
        sources = (bean for bean in collector.beans() if bean.component.kind == "source")
        return sum(bean.number("EventAcceptedCount") for bean in sources)

    def _until(self, count: Callable[[], int], share: float, what: str) -> None:
        wanted = share * sum(len(log.lines) for log in self.logs)
        what = f"{share:.0%} of the lines being {what}"
        wait_until(lambda: count() >= wanted, MOMENT_S, what, interval_s=0.02, check=self._goes_on)
        services.pause(self.rng.uniform(0, 0.3))

    def _goes_on(self) -> None:
        assert self._replay is not None
        if self._replay.poll():
            raise AssertionError(self._complaints.read_text("utf-8", "replace"))


Strike = Callable[[Run], None]
