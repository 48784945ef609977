"""Lines that Flume sends again, in batches of nothing else: the highest offset must not go back."""

import json

from confluent_kafka import Producer

from clickstream import endpoints, kafka, weblog

LINE = b'h - - [18/May/2015:09:00:00 +0000] "GET /a HTTP/1.1" 200 1'
ROWS = 10


def produce(settings, values_by_partition):
    """Send each partition's records, in order."""
    kafka.ensure_topic(settings)
    producer = Producer({"bootstrap.servers": endpoints.kafka_bootstrap(settings)})
    for partition, values in values_by_partition.items():
        for value in values:
            producer.produce(settings.kafka.topic, value, partition=partition)
    assert producer.flush(30) == 0


def stamped():
    """ROWS lines of one file."""
    return [weblog.stamp("weblog1", "0" * 16, n * (len(LINE) + 1), LINE) for n in range(ROWS)]


def figures(run):
    """The last batch, the server's records and copies, and what was counted of the category."""
    status = json.loads(run("speed", "status", "--format", "json").stdout)
    books = status["servers"]["weblog1"]
    (row,) = json.loads(run("report", "popularity", "--format", "json").stdout)
    assert row["category"] == "/a"
    return status["batch"], books["rows"], books["copies"], row["requests"]


def test_a_batch_of_nothing_but_copies_opens_no_door_for_more(fresh, run):
    lines = stamped()
    low = lines[: ROWS // 2]
    produce(fresh, {0: [*lines, *low, *low, *lines]})
    run("speed", "run", "--available-now", "--max-rows", ROWS)
    # The batches are: the lines, low ones only, every line again.
    assert figures(run) == (2, 3 * ROWS, 2 * ROWS, ROWS)


def test_a_line_that_is_sent_to_another_partition_again_is_counted_once(fresh, run):
    """Partitions are counted each by itself only where no file is in two of them."""
    produce(fresh, {0: stamped(), 1: stamped()})
    run("speed", "run", "--available-now")
    assert figures(run) == (0, 2 * ROWS, ROWS, ROWS)
