"""The stories of aiokafka against a broker. Usage: aio.py BOOTSTRAP TOPIC-PREFIX.

Prints one line for each fact; ends with an exception at the first thing that is not so.
"""

import asyncio
import contextlib
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError, TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from story import CODECS, EACH, PARTITIONS, PATIENCE_S, RECORDS, T0, Patience, is_spread, record, spread

BOOTSTRAP, PREFIX = sys.argv[1:]


async def producer(**settings):
    sender = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", **settings)
    await sender.start()
    return sender


async def consumer(*topics, **settings):
    reader = AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest",
                              enable_auto_commit=False, fetch_max_wait_ms=20, **settings)
    await reader.start()
    return reader


async def create(admin, name, partitions, configs=None):
    answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
    for error in answer.topic_errors:
        if error[1] == TopicAlreadyExistsError.errno:
            raise TopicAlreadyExistsError(name)
        assert error[1] == 0, error


async def read(reader, count):
    """The next records, in the order in which they came, at least so many of them."""
    found, patience = [], Patience()
    while len(found) < count and patience.lasts():
        for batch in (await reader.getmany(timeout_ms=200)).values():
            found.extend(batch)
    return found


async def reader_from(topic, offset, **settings):
    reader = await consumer(**settings)
    reader.assign([TopicPartition(topic, 0)])
    reader.seek(TopicPartition(topic, 0), offset)
    return reader


async def every_codec(admin):
    for codec in CODECS:
        topic = f"{PREFIX}-codec-{codec}"
        await create(admin, topic, 1)
        sender = await producer(compression_type=None if codec == "none" else codec, linger_ms=5,
                                enable_idempotence=codec != "none")
        sent = []
        for n in range(RECORDS):
            key, value, headers, timestamp = record(n)
            sent.append(await sender.send(topic, value, key=key, headers=headers, timestamp_ms=timestamp, partition=0))
        assert [(await future).offset for future in sent] == list(range(RECORDS))
        await sender.stop()
        reader = await reader_from(topic, 0)
        got = [(r.key, r.value, [tuple(h) for h in r.headers], r.timestamp) for r in await read(reader, RECORDS)]
        assert got == [record(n) for n in range(RECORDS)], got
        await reader.stop()
        print(f"codec {codec}: {len(got)} records")


async def positions(_):
    topic = f"{PREFIX}-codec-gzip"
    partition = TopicPartition(topic, 0)
    reader = await reader_from(topic, 25)
    print(f"seek to 25: {(await read(reader, 1))[0].offset}")
    print(f"at time 30: {(await reader.offsets_for_times({partition: T0 + 30}))[partition].offset}")
    late = (await reader.offsets_for_times({partition: T0 + RECORDS}))[partition]
    print(f"past the last time: {'none' if late is None else late.offset}")
    first, end = await reader.beginning_offsets([partition]), await reader.end_offsets([partition])
    print(f"ends: {first[partition]} {end[partition]}")
    await reader.stop()


async def commits(admin):
    topic, group = f"{PREFIX}-codec-none", f"{PREFIX}-commits"
    partition = TopicPartition(topic, 0)
    reader = await consumer(group_id=group)
    reader.assign([partition])
    await reader.commit({partition: OffsetAndMetadata(4, "note")})
    committed = (await admin.list_consumer_group_offsets(group))[partition]
    print(f"committed: {committed.offset} {committed.metadata}")
    print(f"goes on at: {(await read(reader, 1))[0].offset}")
    await reader.stop()


async def members(topic, group, assignor, count):
    return await asyncio.gather(*(
        consumer(topic, group_id=group, heartbeat_interval_ms=100, partition_assignment_strategy=[assignor])
        for _ in range(count)))


async def until_spread(group, seen):
    patience = Patience()
    while not is_spread([member.assignment() for member in group]) and patience.lasts():
        await poll_each(group, seen)


async def poll_each(group, seen):
    for member in group:
        for partition, batch in (await member.getmany(timeout_ms=20)).items():
            seen.extend((partition.partition, r.offset) for r in batch)


async def commit_each(group, seen):
    waiting, patience = list(group), Patience()
    while waiting and patience.lasts():
        try:
            await waiting[-1].commit()
            waiting.pop()
        except (CommitFailedError, RebalanceInProgressError):
            await poll_each(group, seen)


async def groups(admin):
    topic = f"{PREFIX}-seven"
    await create(admin, topic, PARTITIONS)
    sender = await producer()
    for partition in range(PARTITIONS):
        for n in range(EACH):
            await sender.send(topic, record(n)[1], partition=partition)
    await sender.flush()
    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
                 "sticky": StickyPartitionAssignor}
    for name, assignor in assignors.items():
        group, seen = await members(topic, f"{PREFIX}-{name}", assignor, 3), []
        await until_spread(group, seen)
        found = spread([member.assignment() for member in group])
        print(f"{name}: {found if name != 'sticky' else 'even'}")
        patience = Patience()
        while len(set(seen)) < PARTITIONS * EACH and patience.lasts():
            await poll_each(group, seen)
        print(f"{name} read: {len(set(seen))} records")
        await commit_each(group, seen)
        await group.pop().stop()
        await until_spread(group, seen)
        print(f"{name} after one left: {sorted(len(member.assignment()) for member in group)}")
        await asyncio.gather(*(member.stop() for member in group))
    await sender.send_and_wait(topic, b"one more", partition=3)
    await sender.stop()
    follower = (await members(topic, f"{PREFIX}-range", RangePartitionAssignor, 1))[0]
    print(f"the group goes on with: {[(r.partition, r.offset) for r in await read(follower, 1)]}")
    await follower.stop()


async def transactions(admin):
    ledger, copied = f"{PREFIX}-ledger", f"{PREFIX}-copied"
    await create(admin, ledger, 1)
    await create(admin, copied, 1)
    sender = await producer(transactional_id=f"{PREFIX}-clerk")
    for name, count, commit in (("a", 3, True), ("b", 3, False), ("c", 2, True)):
        await sender.begin_transaction()
        for n in range(count):
            await sender.send_and_wait(ledger, f"{name}{n}".encode(), partition=0)
        await (sender.commit_transaction() if commit else sender.abort_transaction())
    print(f"uncommitted: {await values(ledger, 8, 'read_uncommitted')}")
    print(f"committed: {await values(ledger, 5, 'read_committed')}")
    print(f"piped, aborted: {await pipe(admin, sender, ledger, copied, False)}")
    print(f"piped, committed: {await pipe(admin, sender, ledger, copied, True)}")
    print(f"copied: {await values(copied, 5, 'read_committed')}")
    await fenced(sender, ledger)


async def values(topic, count, isolation):
    reader = await reader_from(topic, 0, isolation_level=isolation)
    found = [r.value.decode() for r in await read(reader, count)]
    await reader.stop()
    return " ".join(found)


async def pipe(admin, sender, source, target, commit):
    """Copies what is committed in upper case; the group's place afterwards."""
    partition, group = TopicPartition(source, 0), f"{PREFIX}-pipe"
    reader = await reader_from(source, 0, isolation_level="read_committed")
    await sender.begin_transaction()
    found = await read(reader, 5)
    for r in found:
        await sender.send_and_wait(target, r.value.upper(), partition=0)
    await sender.send_offsets_to_transaction({partition: found[-1].offset + 1}, group)
    await (sender.commit_transaction() if commit else sender.abort_transaction())
    await reader.stop()
    patience = Patience()
    # The group hears of the end a moment after the producer does.
    while not (offset := await place(admin, group, partition)) and commit and patience.lasts():
        await asyncio.sleep(0.05)
    return offset or "none"


async def place(admin, group, partition):
    """Where a group is in a partition, or 0."""
    found = (await admin.list_consumer_group_offsets(group)).get(partition)
    return 0 if found is None or found.offset < 0 else found.offset


async def fenced(first, topic):
    second = await producer(transactional_id=f"{PREFIX}-clerk")
    try:
        await first.begin_transaction()
        await asyncio.wait_for(first.send_and_wait(topic, b"late", partition=0), PATIENCE_S)
        await first.commit_transaction()
        print("fenced: no")
    except KafkaError:
        print("fenced: yes")
    await second.stop()
    with contextlib.suppress(KafkaError):  # It says once more that it is fenced.
        await first.stop()


async def administration(admin):
    topic = f"{PREFIX}-admin"
    await create(admin, topic, 3, {"retention.ms": "123456"})
    try:
        await create(admin, topic, 3)
    except TopicAlreadyExistsError:
        print("created twice: refused")
    await admin.create_partitions({topic: NewPartitions(5)})
    # A broker hears of it a moment after the controller answers.
    patience = Patience()
    while len((await admin.describe_topics([topic]))[0]["partitions"]) < 5 and patience.lasts():
        await asyncio.sleep(0.05)
    print("partitions: 5")
    print(f"retention: {await retention(admin, topic)}")
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "654321"})])
    while await retention(admin, topic) != "654321" and patience.lasts():
        await asyncio.sleep(0.05)
    print("retention: 654321")
    sender = await producer()
    for n in range(EACH):
        await sender.send_and_wait(topic, record(n)[1], partition=0)
    await sender.stop()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=6)})
    reader = await reader_from(topic, 0)
    print(f"after deletion the first is: {(await read(reader, 1))[0].offset}")
    await reader.stop()
    await admin.delete_topics([topic])
    while topic in await admin.list_topics() and patience.lasts():
        await asyncio.sleep(0.05)
    print("the topic is gone")


async def retention(admin, topic):
    told = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    entries = told[0].resources[0][4]
    return next(entry[1] for entry in entries if entry[0] == "retention.ms")


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    for story in (every_codec, positions, commits, groups, transactions, administration):
        await story(admin)
    await admin.close()


asyncio.run(main())
