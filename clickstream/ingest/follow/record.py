"""The record of a followed path, kept over restarts: what is read, and what its user must know."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.home import write_atomic
from clickstream.ledger import Ledger, LogFile


class Reading(NamedTuple):
    """A log that is being read: where it lay, and its size in bytes at the end of the follow."""

    path: str
    size: int = 0


class Missing(NamedTuple):
    """A log that was not read to its end and is not there any more.

    It was read up to the byte `offset`; `size` is what it was last seen to hold, `source` its
    path in the ledger since.
    """

    path: str
    offset: int
    size: int
    source: str = ""

    def __str__(self) -> str:
        unseen = self.size - self.offset
        least = f"at least {unseen:,} bytes were" if unseen > 0 else "what came behind it was"
        return f"{self.path} was read up to byte {self.offset:,} and is gone: {least} not seen"


@dataclass
class Record:
    """`reading` and `missing` are by the log's identity; `invalid` and `refused` are sentences."""

    server: str
    path: str
    reading: dict[str, Reading] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    invalid: str = ""
    refused: str = ""


class RecordFile:
    """A record on disk, written where it differs from what was written last."""

    def __init__(self, file: Path, server: str, path: Path) -> None:
        self._file = file
        self.record = _load(file) or Record(server, str(path))
        self._written = asdict(self.record)

    def save(self) -> None:
        """Write it, if there is something new."""
        if (now := asdict(self.record)) != self._written:
            write_atomic(self._file, json.dumps(now))
            self._written = now


def problems(settings: Settings) -> list[str]:
    """A sentence for each thing that is wrong with the followed logs of this home."""
    records = [_load(file) for file in settings.files.follow_records()]
    if not records or not settings.files.ledger.is_file():
        return []
    with Ledger.open(settings.files.ledger) as ledger:
        known = {log.file: log for log in ledger.files()}
    return [text for each in records if each for text in _problems(each, known)]


def unresolved(missing: Missing, known: LogFile | None) -> bool:
    """Tell whether the rest of a log is still missing: nothing has brought the log since."""
    return known is None or (known.bytes <= missing.offset and known.path == missing.source)


def _problems(record: Record, known: dict[str, LogFile]) -> list[str]:
    lost = [each for file, each in record.missing.items() if unresolved(each, known.get(file))]
    hint = "bring it back beside the followed log, or put it: clickstream weblog put"
    texts = [*(f"{each}; {hint}" for each in lost), record.invalid, record.refused]
    return [f"follow of {record.server}: {text}" for text in texts if text]


def _load(file: Path) -> Record | None:
    try:
        stored = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    stored["reading"] = {key: Reading(*value) for key, value in stored["reading"].items()}
    stored["missing"] = {key: Missing(*value) for key, value in stored["missing"].items()}
    return Record(**stored)
