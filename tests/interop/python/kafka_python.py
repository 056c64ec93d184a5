"""The stories of kafka-python against a broker. Usage: kafka_python.py BOOTSTRAP TOPIC-PREFIX.

Prints one line for each fact; ends with an exception at the first thing that is not so.
"""

import contextlib
import os
import sys
import threading
import time
import traceback

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError, TopicAlreadyExistsError

from story import CODECS, EACH, PARTITIONS, PATIENCE_S, RECORDS, T0, Patience, is_spread, record, spread

BOOTSTRAP, PREFIX = sys.argv[1:]


def producer(**settings):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", **settings)


def consumer(*topics, **settings):
    return KafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", enable_auto_commit=False,
                         fetch_max_wait_ms=20, **settings)


def create(name, partitions, configs=None):
    ADMIN.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)], wait_for_metadata=True)


def send(sender, topic, value, partition=0, **more):
    return sender.send(topic, value=value, partition=partition, **more)


def read(reader, count):
    """The next records, in the order in which they came, at least so many of them."""
    found, patience = [], Patience()
    while len(found) < count and patience.lasts():
        for batch in reader.poll(timeout_ms=200).values():
            found.extend(batch)
    return found


def reader_from(topic, offset, **settings):
    reader = consumer(**settings)
    reader.assign([TopicPartition(topic, 0)])
    reader.seek(TopicPartition(topic, 0), offset)
    return reader


def every_codec():
    for codec in CODECS:
        topic = f"{PREFIX}-codec-{codec}"
        create(topic, 1)
        sender = producer(compression_type=None if codec == "none" else codec, linger_ms=5)
        sent = []
        for n in range(RECORDS):
            key, value, headers, timestamp = record(n)
            sent.append(send(sender, topic, value, key=key, headers=headers, timestamp_ms=timestamp))
        assert [future.get(PATIENCE_S).offset for future in sent] == list(range(RECORDS))
        sender.close()
        reader = reader_from(topic, 0)
        got = [(r.key, r.value, [tuple(h) for h in r.headers], r.timestamp) for r in read(reader, RECORDS)]
        assert got == [record(n) for n in range(RECORDS)], got
        reader.close()
        print(f"codec {codec}: {len(got)} records")


def positions():
    topic = f"{PREFIX}-codec-gzip"
    partition = TopicPartition(topic, 0)
    reader = reader_from(topic, 25)
    print(f"seek to 25: {read(reader, 1)[0].offset}")
    print(f"at time 30: {reader.offsets_for_times({partition: T0 + 30})[partition].offset}")
    late = reader.offsets_for_times({partition: T0 + RECORDS})[partition]
    print(f"past the last time: {'none' if late is None else late.offset}")
    print(f"ends: {reader.beginning_offsets([partition])[partition]} {reader.end_offsets([partition])[partition]}")
    reader.close()


def commits():
    topic = f"{PREFIX}-codec-none"
    partition = TopicPartition(topic, 0)
    reader = consumer(group_id=f"{PREFIX}-commits")
    reader.assign([partition])
    reader.commit({partition: OffsetAndMetadata(4, "note", -1)})
    committed = reader.committed(partition, metadata=True)
    print(f"committed: {committed.offset} {committed.metadata}")
    print(f"goes on at: {read(reader, 1)[0].offset}")
    reader.close()


class Member:
    """A consumer of a group, which reads and commits in a thread of its own until it leaves."""

    def __init__(self, topic, group, assignor, seen):
        # A member that has stopped to poll is not waited for longer than this.
        self.reader = consumer(topic, group_id=group, heartbeat_interval_ms=100, session_timeout_ms=10_000,
                               max_poll_interval_ms=10_000, partition_assignment_strategy=[assignor])
        self.seen = seen
        self.assigned = set()
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self.live)
        self.thread.start()

    def live(self):
        try:
            while not self.leaving.is_set():
                found = self.reader.poll(timeout_ms=200)
                self.assigned = self.reader.assignment()
                for partition, batch in found.items():
                    self.seen.update((partition.partition, r.offset) for r in batch)
                # In the middle of a rebalance nothing can be committed: who has the partition next reads it again.
                with contextlib.suppress(KafkaError):
                    self.reader.commit(timeout_ms=1000)
        finally:
            self.reader.close()

    def leave(self):
        self.leaving.set()
        self.thread.join()


def eventually(so):
    patience = Patience()
    while not so() and patience.lasts():
        time.sleep(0.05)


def groups():
    topic = f"{PREFIX}-seven"
    create(topic, PARTITIONS)
    sender = producer()
    for partition in range(PARTITIONS):
        for n in range(EACH):
            send(sender, topic, record(n)[1], partition)
    sender.flush(PATIENCE_S)
    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
                 "sticky": StickyPartitionAssignor}
    for name, assignor in assignors.items():
        share(topic, name, assignor)
    send(sender, topic, b"one more", 3).get(PATIENCE_S)
    sender.close()
    seen = set()
    follower = Member(topic, f"{PREFIX}-range", RangePartitionAssignor, seen)
    eventually(lambda: seen)
    follower.leave()
    print(f"the group goes on with: {sorted(seen)}")


def share(topic, name, assignor):
    group, seen = f"{PREFIX}-{name}", set()
    members = [Member(topic, group, assignor, seen) for _ in range(3)]
    try:
        eventually(lambda: is_spread([member.assigned for member in members]))
        found = spread([member.assigned for member in members])
        print(f"{name}: {found if name != 'sticky' else 'even'}")
        eventually(lambda: len(seen) == PARTITIONS * EACH == committed(group))
        print(f"{name} read: {len(seen)} records")
        members.pop().leave()
        eventually(lambda: is_spread([member.assigned for member in members]))
        print(f"{name} after one left: {sorted(len(member.assigned) for member in members)}")
    finally:
        for member in members:
            member.leave()


def committed(group):
    """How many records lie behind the places of a group."""
    return sum(place.offset for place in ADMIN.list_group_offsets([group])[group].values())


def transactions():
    ledger, copied = f"{PREFIX}-ledger", f"{PREFIX}-copied"
    create(ledger, 1)
    create(copied, 1)
    sender = producer(transactional_id=f"{PREFIX}-clerk")
    sender.init_transactions()
    for name, count, commit in (("a", 3, True), ("b", 3, False), ("c", 2, True)):
        sender.begin_transaction()
        for n in range(count):
            send(sender, ledger, f"{name}{n}".encode()).get(PATIENCE_S)
        sender.commit_transaction() if commit else sender.abort_transaction()
    print(f"uncommitted: {values(reader_from(ledger, 0), 8)}")
    print(f"committed: {values(reader_from(ledger, 0, isolation_level='read_committed'), 5)}")
    print(f"piped, aborted: {pipe(sender, ledger, copied, False)}")
    print(f"piped, committed: {pipe(sender, ledger, copied, True)}")
    print(f"copied: {values(reader_from(copied, 0, isolation_level='read_committed'), 5)}")
    fenced(sender, ledger)


def values(reader, count):
    found = [r.value.decode() for r in read(reader, count)]
    reader.close()
    return " ".join(found)


def pipe(sender, source, target, commit):
    """Copies what is committed in upper case; the group's place afterwards."""
    partition = TopicPartition(source, 0)
    reader = consumer(group_id=f"{PREFIX}-pipe", isolation_level="read_committed")
    reader.assign([partition])
    sender.begin_transaction()
    found = read(reader, 5)
    for r in found:
        send(sender, target, r.value.upper())
    place = {partition: OffsetAndMetadata(found[-1].offset + 1, "", -1)}
    sender.send_offsets_to_transaction(place, reader.group_metadata())
    sender.commit_transaction() if commit else sender.abort_transaction()
    reader.close()
    # A fresh one: what the first knows of its group it keeps to itself.
    asked, patience = consumer(group_id=f"{PREFIX}-pipe"), Patience()
    # The group hears of the end a moment after the producer does.
    while (offset := asked.committed(partition)) is None and commit and patience.lasts():
        time.sleep(0.05)
    asked.close()
    return "none" if offset is None else offset


def fenced(first, topic):
    second = producer(transactional_id=f"{PREFIX}-clerk")
    second.init_transactions()
    try:
        first.begin_transaction()
        send(first, topic, b"late").get(PATIENCE_S)
        first.commit_transaction()
        print("fenced: no")
    except KafkaError:
        print("fenced: yes")
    second.close()
    first.close(timeout=1)


def administration():
    topic = f"{PREFIX}-admin"
    create(topic, 3, {"retention.ms": "123456"})
    try:
        create(topic, 3)
    except TopicAlreadyExistsError:
        print("created twice: refused")
    ADMIN.create_partitions({topic: NewPartitions(5)})
    # A broker hears of it a moment after the controller answers.
    patience = Patience()
    while len(ADMIN.describe_topics([topic])[0]["partitions"]) < 5 and patience.lasts():
        time.sleep(0.05)
    print("partitions: 5")
    print(f"retention: {retention(topic)}")
    ADMIN.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "654321"})])
    while retention(topic) != "654321" and patience.lasts():
        time.sleep(0.05)
    print("retention: 654321")
    sender = producer()
    for n in range(EACH):
        send(sender, topic, record(n)[1]).get(PATIENCE_S)
    sender.close()
    ADMIN.delete_records({TopicPartition(topic, 0): 6})
    reader = reader_from(topic, 0)
    print(f"after deletion the first is: {read(reader, 1)[0].offset}")
    reader.close()
    group = f"{PREFIX}-commits"
    ADMIN.delete_groups([group])
    print(f"the group is {'there' if group in str(ADMIN.list_groups()) else 'gone'}")
    ADMIN.delete_topics([topic])
    while topic in ADMIN.list_topics() and patience.lasts():
        time.sleep(0.05)
    print("the topic is gone")


def retention(topic):
    told = ADMIN.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return told["topic"][topic]["retention.ms"]["value"]

ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
try:
    for story in (every_codec, positions, commits, groups, transactions, administration):
        story()
    ADMIN.close()
except BaseException:
    traceback.print_exc()
    sys.stdout.flush()
    # The threads of a consumer that was not closed would keep the program alive.
    os._exit(1)
