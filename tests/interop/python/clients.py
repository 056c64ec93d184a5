"""The story of librdkafka against a broker: every compression, idempotent and not, written and read back.

Usage: clients.py BOOTSTRAP TOPIC-PREFIX. Ends with an exception at the first thing that is not so.
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

RECORDS = 300
PATIENCE_S = 60
# Recent, or retention takes what was just written.
T0 = int(time.time() * 1000) - 3_600_000


def record(n):
    """Key, value, headers and timestamp of record number n."""
    key = None if n % 7 == 0 else f"key {n}".encode()
    value = None if n % 11 == 0 else f"value {n} ".encode() * (1 + n % 40)
    return key, value, [("n", str(n).encode()), ("null", None)], T0 + n


def produce(bootstrap, topic, codec, idempotent):
    failures = []
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "compression.type": codec,
        "enable.idempotence": idempotent,
        "acks": "all" if idempotent else "1",
        "linger.ms": 2,
    })
    for n in range(RECORDS):
        key, value, headers, timestamp = record(n)
        producer.produce(topic, value, key, 0, headers=headers, timestamp=timestamp,
                         on_delivery=lambda error, _: failures.append(error) if error else None)
        if n % 60 == 0:
            producer.flush(PATIENCE_S)
    assert producer.flush(PATIENCE_S) == 0, f"{topic}: not all delivered"
    assert not failures, f"{topic}: {failures[0]}"


def read_back(bootstrap, topic):
    # librdkafka wants a group id; assigning partitions makes no use of it.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True, "fetch.wait.max.ms": 20,
                         "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    n, deadline = 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            break
        got = message.key(), message.value(), message.headers(), message.timestamp()[1]
        assert message.offset() == n and got == record(n), f"{topic}: record {n} came back as {message.offset()} {got}"
        n += 1
    assert n == RECORDS, f"{topic}: {n} records"
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S) == (0, RECORDS)
    found = consumer.offsets_for_times([TopicPartition(topic, 0, record(123)[3])], PATIENCE_S)[0]
    assert found.offset == 123, f"{topic}: {found}"
    consumer.close()


def main():
    bootstrap, prefix = sys.argv[1:]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        for idempotent in (True, False):
            topic = f"{prefix}-{codec}-{str(idempotent).lower()}"
            produce(bootstrap, topic, codec, idempotent)
            read_back(bootstrap, topic)
            print(f"{topic}: {RECORDS} records")


main()
