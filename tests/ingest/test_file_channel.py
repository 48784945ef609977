"""What is left of a file channel whose agent was killed, and of one that ended by itself."""

from clickstream.ingest.flume.file_channel import forget_checkpoint


def channel(tmp_path, *files):
    for file in ("data/log-1", "checkpoint/checkpoint", *files):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


def left(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_a_killed_agents_channel_is_read_from_its_log(tmp_path):
    forget_checkpoint(channel(tmp_path, "checkpoint/inflightputs", "checkpoint/in_use.lock"))
    assert left(tmp_path) == {"data/log-1"}


def test_a_channel_that_was_closed_keeps_its_checkpoint(tmp_path):
    forget_checkpoint(channel(tmp_path))
    assert left(tmp_path) == {"data/log-1", "checkpoint/checkpoint"}


def test_a_channel_that_never_was_is_no_problem(tmp_path):
    forget_checkpoint(tmp_path / "none")
    assert left(tmp_path) == set()
