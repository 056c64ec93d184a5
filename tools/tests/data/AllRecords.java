// Writes one segment with every KRaft metadata record in every version, random fields and broken values among them, with
// every kind of control record, and one segment of remote log metadata. What Apache Kafka's DumpLogSegments prints for them
// lies beside them:
//   java -cp 'kafka/libs/*' AllRecords.java DIRECTORY
//   DumpLogSegments --cluster-metadata-decoder --files DIRECTORY/metadata/00000000000000000000.log > DIRECTORY/metadata.txt
//   DumpLogSegments --remote-log-metadata-decoder --files DIRECTORY/remote/00000000000000000000.log > DIRECTORY/remote.txt

import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.metadata.MetadataRecordType;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.log.remote.metadata.storage.generated.*;
import org.apache.kafka.server.log.remote.metadata.storage.serialization.RemoteLogMetadataSerde;
import org.apache.kafka.server.log.remote.storage.*;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;

public class AllRecords {
    static final Random RANDOM = new Random(43);
    static final long TIME = 1700000000000L;
    static long offset = 0;

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        write(directory.resolve("metadata"), metadata());
        offset = 0;
        write(directory.resolve("remote"), remote());
    }

    static void write(Path directory, List<MemoryRecords> batches) throws Exception {
        Files.createDirectories(directory);
        try (var channel = Files.newByteChannel(directory.resolve("00000000000000000000.log"),
                StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
            for (MemoryRecords batch : batches) channel.write(batch.buffer());
        }
    }

    static MemoryRecords data(List<byte[]> values) {
        SimpleRecord[] records = values.stream().map(v -> new SimpleRecord(TIME, null, v)).toArray(SimpleRecord[]::new);
        MemoryRecords batch = MemoryRecords.withRecords(offset, Compression.NONE, 7, records);
        offset += records.length;
        return batch;
    }

    static List<MemoryRecords> metadata() throws Exception {
        List<MemoryRecords> batches = new ArrayList<>();
        for (MetadataRecordType type : MetadataRecordType.values()) {
            List<byte[]> values = new ArrayList<>();
            for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(); version++)
                for (int round = 0; round < 3; round++) {
                    ApiMessage record = type.newMetadataRecord();
                    fill(record, version, round);
                    values.add(serialized(new ApiMessageAndVersion(record, version)));
                }
            batches.add(data(values));
        }
        batches.add(data(broken()));
        controls(batches);
        return batches;
    }

    static byte[] serialized(ApiMessageAndVersion record) {
        MetadataRecordSerde serde = new MetadataRecordSerde();
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(serde.recordSize(record, cache));
        serde.write(record, cache, new ByteBufferAccessor(buffer));
        return buffer.array();
    }

    static List<byte[]> broken() {
        byte[] whole = serialized(new ApiMessageAndVersion(
            new org.apache.kafka.common.metadata.TopicRecord().setName("t").setTopicId(new Uuid(1, 2)), (short) 0));
        List<byte[]> values = new ArrayList<>();
        values.add(Arrays.copyOf(whole, whole.length + 3));
        values.add(Arrays.copyOf(whole, whole.length - 3));
        values.add(new byte[] {1, 2, 9, 0});
        values.add(null);
        values.add(new byte[] {});
        values.add(new byte[] {1});
        values.add(new byte[] {1, 2});
        values.add(new byte[] {0, 2, 0});
        values.add(new byte[] {2, 2, 0});
        values.add(new byte[] {1, 120, 0});
        values.add(new byte[] {1, (byte) 0xff, (byte) 0xff, (byte) 0xff, 0});
        values.add(new byte[] {(byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff});
        return values;
    }

    static void controls(List<MemoryRecords> batches) throws Exception {
        for (int transactionVersion = 0; transactionVersion < 2; transactionVersion++)
            for (ControlRecordType type : List.of(ControlRecordType.ABORT, ControlRecordType.COMMIT))
                batches.add(MemoryRecords.withEndTransactionMarker(offset++, TIME, 7, 4000 + transactionVersion,
                    (short) 3, new EndTransactionMarker(type, 12 - transactionVersion)));
        ByteBuffer room = ByteBuffer.allocate(1024);
        var voters = List.of(new LeaderChangeMessage.Voter().setVoterId(1), new LeaderChangeMessage.Voter().setVoterId(3));
        batches.add(copy(MemoryRecords.withLeaderChangeMessage(offset++, TIME, 7, room,
            new LeaderChangeMessage().setVersion((short) 0).setLeaderId(3).setVoters(voters).setGrantingVoters(voters.subList(0, 1)))));
        room.clear();
        batches.add(copy(MemoryRecords.withSnapshotHeaderRecord(offset++, TIME, 7, room,
            new SnapshotHeaderRecord().setVersion((short) 0).setLastContainedLogTimestamp(TIME - 1))));
        room.clear();
        batches.add(copy(MemoryRecords.withSnapshotFooterRecord(offset++, TIME, 7, room, new SnapshotFooterRecord())));
        room.clear();
        batches.add(copy(MemoryRecords.withKRaftVersionRecord(offset++, TIME, 7, room,
            new KRaftVersionRecord().setKRaftVersion((short) 1))));
        room.clear();
        var record = new VotersRecord();
        fill(record, (short) 0, 1);
        batches.add(copy(MemoryRecords.withVotersRecord(offset++, TIME, 7, room, record)));
        room.clear();
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(room, (byte) 2, Compression.NONE,
            org.apache.kafka.common.record.TimestampType.CREATE_TIME, offset++, TIME, -1, (short) -1, -1, false, true, 7, 1024);
        builder.appendUncheckedWithOffset(offset - 1,
            new SimpleRecord(TIME, new byte[] {0, 0, 0, 99}, new byte[] {0, 0, 1, 2}));
        batches.add(copy(builder.build()));
    }

    static MemoryRecords copy(MemoryRecords records) {
        ByteBuffer copy = ByteBuffer.allocate(records.sizeInBytes());
        copy.put(records.buffer().duplicate()).flip();
        return MemoryRecords.readableRecords(copy);
    }

    static byte[] serialized(int key, Message record) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(3 + record.size(cache, (short) 0));
        buffer.put((byte) 1).put((byte) key).put((byte) 0);
        record.write(new ByteBufferAccessor(buffer), cache, (short) 0);
        return buffer.array();
    }

    static List<MemoryRecords> remote() {
        RemoteLogMetadataSerde serde = new RemoteLogMetadataSerde();
        List<byte[]> values = new ArrayList<>();
        TopicIdPartition partition = new TopicIdPartition(new Uuid(11, 12), new TopicPartition("t\u00e4ger", 3));
        for (RemoteLogSegmentState state : RemoteLogSegmentState.values()) {
            RemoteLogSegmentId id = new RemoteLogSegmentId(partition, new Uuid(21, state.id()));
            NavigableMap<Integer, Long> epochs = new TreeMap<>(Map.of(0, 0L, 5, 70L, 3, 20L));
            Optional<CustomMetadata> custom = state.id() % 2 == 0 ? Optional.empty() : Optional.of(new CustomMetadata(new byte[] {1, -2, 3}));
            values.add(serde.serialize(new RemoteLogSegmentMetadata(id, 0, 100, TIME, 1, TIME + 1, 1024, custom, state, epochs, state.id() == 2)));
            if (state != RemoteLogSegmentState.COPY_SEGMENT_STARTED)
                values.add(serde.serialize(new RemoteLogSegmentMetadataUpdate(id, TIME + 2, custom, state, 2)));
        }
        for (RemotePartitionDeleteState state : RemotePartitionDeleteState.values())
            values.add(serde.serialize(new RemotePartitionDeleteMetadata(partition, state, TIME + 3, 4)));
        values.add(serde.serialize(new RemoteLogSegmentMetadata(new RemoteLogSegmentId(partition, new Uuid(1, 1)),
            5, 9, TIME, 1, TIME, 77, Optional.of(new CustomMetadata(new byte[] {})), RemoteLogSegmentState.COPY_SEGMENT_STARTED,
            new TreeMap<>(Map.of(1, 5L)), true)));
        for (int index : new int[] {0, 2, values.size() - 2}) {
            byte[] unknownState = values.get(index).clone();
            unknownState[unknownState.length - 2] = 77;
            values.add(unknownState);
        }
        byte[] noEpochs = serialized(3, new RemoteLogSegmentMetadataSnapshotRecord().setSegmentId(new Uuid(9, 9)));
        values.add(noEpochs);
        values.add(serialized(3, new RemoteLogSegmentMetadataSnapshotRecord().setSegmentId(new Uuid(9, 9)).setStartOffset(3)
            .setEndOffset(8).setBrokerId(2).setMaxTimestampMs(4).setEventTimestampMs(5).setSegmentSizeInBytes(6)
            .setCustomMetadata(new byte[] {1}).setRemoteLogSegmentState((byte) 1).setTxnIndexEmpty(true)
            .setSegmentLeaderEpochs(List.of(new RemoteLogSegmentMetadataSnapshotRecord.SegmentLeaderEpochEntry().setLeaderEpoch(2).setOffset(3)))));
        values.add(serialized(0, new RemoteLogSegmentMetadataRecord()));
        values.add(new byte[] {1, 9, 0});
        values.add(new byte[] {1, 0, 7});
        values.add(null);
        values.add(new byte[] {});
        values.add(new byte[] {0});
        values.add(new byte[] {9, 0});
        values.add(Arrays.copyOf(values.get(0), 20));
        values.add(Arrays.copyOf(values.get(0), values.get(0).length + 2));
        return List.of(data(values));
    }

    // Sets every field that the version has; round 0 leaves the defaults, of later rounds some nullable fields are null.
    static void fill(Message message, short version, int round) {
        if (round == 0) return;
        Object defaults = defaultOf(message.getClass());
        for (Method setter : sorted(message.getClass().getMethods())) {
            if (!setter.getName().startsWith("set") || setter.getParameterCount() != 1) continue;
            try {
                Object value = value(setter.getGenericParameterTypes()[0], setter.getParameterTypes()[0], version, round);
                if (setter.getName().equals("setVersion")) value = version;
                setter.invoke(message, value);
                size(message, version);
            } catch (InvocationTargetException | IllegalAccessException refused) {
                throw new IllegalStateException(refused);
            } catch (UnsupportedVersionException | NullPointerException notInThisVersion) {
                try {
                    String getter = Character.toLowerCase(setter.getName().charAt(3)) + setter.getName().substring(4);
                    for (Method candidate : message.getClass().getMethods())
                        if (candidate.getName().equalsIgnoreCase(getter) && candidate.getParameterCount() == 0)
                            setter.invoke(message, candidate.invoke(defaults));
                } catch (ReflectiveOperationException impossible) {
                    throw new IllegalStateException(impossible);
                }
            }
        }
    }

    static Method[] sorted(Method[] methods) {
        Arrays.sort(methods, Comparator.comparing(Method::getName));
        return methods;
    }

    static void size(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
    }

    static Object defaultOf(Class<?> kind) {
        try {
            return kind.getConstructor().newInstance();
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static Object value(Type generic, Class<?> kind, short version, int round) {
        boolean isNull = round > 1 && RANDOM.nextInt(3) == 0;
        if (kind == boolean.class) return RANDOM.nextBoolean();
        if (kind == byte.class) return (byte) RANDOM.nextInt();
        if (kind == short.class) return (short) RANDOM.nextInt();
        if (kind == int.class) return RANDOM.nextInt(0x10000);
        if (kind == long.class) return RANDOM.nextLong();
        if (kind == double.class) return new double[] {0.0, 1.5, -2e-7, 1e9, 12345678.25, 0.001, Double.NaN}[RANDOM.nextInt(7)];
        if (kind == Uuid.class) return new Uuid(RANDOM.nextLong(), RANDOM.nextLong());
        if (isNull) return null;
        if (kind == String.class) return List.of("", "plain", "quo\"te \\ \n\t\u0001\u007f", "\u00e4\u65e5 \ud83d\ude80/").get(RANDOM.nextInt(4));
        if (kind == byte[].class) {
            byte[] bytes = new byte[RANDOM.nextInt(6)];
            RANDOM.nextBytes(bytes);
            return bytes;
        }
        if (kind == List.class) {
            Type element = ((ParameterizedType) generic).getActualTypeArguments()[0];
            Class<?> boxed = (Class<?>) element;
            Class<?> plain = boxed == Integer.class ? int.class : boxed == Long.class ? long.class : boxed == Short.class ? short.class : boxed;
            List<Object> list = new ArrayList<>();
            for (int i = RANDOM.nextInt(3); i >= 0; i--) list.add(value(element, plain, version, 1));
            return list;
        }
        Object made = defaultOf(kind);
        if (made instanceof Collection) {
            @SuppressWarnings("unchecked") Collection<Object> collection = (Collection<Object>) made;
            try {
                Class<?> element = Class.forName(kind.getName().replaceAll("Collection$", ""));
                for (int i = RANDOM.nextInt(3); i >= 0; i--) collection.add(value(element, element, version, 1));
            } catch (ClassNotFoundException impossible) {
                throw new IllegalStateException(impossible);
            }
            return collection;
        }
        fill((Message) made, version, 1);
        return made;
    }
}
