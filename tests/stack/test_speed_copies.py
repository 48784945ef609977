"""Lines that Flume sends again, in batches of nothing else: the highest offset must not go back."""

import json

from confluent_kafka import Producer

from clickstream import endpoints, kafka, weblog

LINE = b'h - - [18/May/2015:09:00:00 +0000] "GET /a HTTP/1.1" 200 1'
ROWS = 10


def test_a_batch_of_nothing_but_copies_opens_no_door_for_more(fresh, run):
    kafka.ensure_topic(fresh)
    lines = [weblog.stamp("weblog1", "0" * 16, n * (len(LINE) + 1), LINE) for n in range(ROWS)]
    low = lines[: ROWS // 2]
    producer = Producer({"bootstrap.servers": endpoints.kafka_bootstrap(fresh)})
    for value in [*lines, *low, *low, *lines]:
        producer.produce(fresh.kafka.topic, value, partition=0)
    assert producer.flush(30) == 0
    run("speed", "run", "--available-now", "--max-rows", ROWS)

    status = json.loads(run("speed", "status", "--format", "json").stdout)
    assert status["batch"] == 2, "the batches are: the lines, low ones only, every line again"
    assert (status["servers"]["weblog1"]["rows"], status["servers"]["weblog1"]["copies"]) == (
        30,
        20,
    )
    (row,) = json.loads(run("report", "popularity", "--format", "json").stdout)
    assert (row["category"], row["requests"]) == ("/a", ROWS)
