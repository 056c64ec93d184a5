import java.io.IOException;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes the data directories of tests/corpus with a real broker and real clients: Corpus OUT, where OUT does not exist.
 *
 * Leaves OUT/formatted (never started), OUT/stopped (after a clean stop), OUT/killed (after kill -9), OUT/legacy
 * (message formats 0 and 1, which no current broker writes) and OUT/damaged (files of OUT/stopped with one wound each). Keys, values and timestamps are the same on every run;
 * ids, wall-clock timestamps and the controller's timing are not.
 */
public class Corpus {
    /** Record timestamps start here, far from the clock, so that the two are told apart in every dump. */
    private static final long T0 = 1_700_000_000_000L;

    private final Path out;
    private final Path data;
    /** For topics with transactions, whose markers carry the broker's time: record time continues from there. */
    private final long now = System.currentTimeMillis();
    private final int port = freePort();
    private final int controllerPort = freePort();
    private Process broker;

    private Corpus(Path out) throws IOException {
        this.out = out;
        this.data = out.resolve("data");
    }

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[0]).toAbsolutePath();
        Files.createDirectory(out);
        Corpus corpus = new Corpus(out);
        try {
            corpus.write();
        } finally {
            if (corpus.broker != null) {
                corpus.broker.destroyForcibly();
            }
        }
    }

    private void write() throws Exception {
        writeServerProperties();
        format();
        copy(data, out.resolve("formatted"));

        start();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap()))) {
            createTopics(admin);
            fillMetadata(admin);
        }
        codecs();
        shapes();
        transactions();
        rolled();
        compactedRounds();
        epochs(0);
        commitOffsets();
        stop();

        start();
        epochs(1);
        stop();
        start();
        epochs(2);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap()))) {
            admin.deleteRecords(Map.of(new TopicPartition("rolled", 0), RecordsToDelete.beforeOffset(130))).all().get();
            admin.deleteTopics(List.of("deleted")).all().get();
        }
        Thread.sleep(1500);
        stop();
        copy(data, out.resolve("stopped"));

        start();
        epochs(3);
        leaveTransactionOpen();
        kill();
        copy(data, out.resolve("killed"));
        delete(data);
        legacy();
        damaged();
    }

    // ---- the broker

    private void writeServerProperties() throws IOException {
        String text = String.join("\n",
            "process.roles=broker,controller",
            "node.id=1",
            "controller.quorum.bootstrap.servers=127.0.0.1:" + controllerPort,
            "listeners=PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controllerPort,
            "controller.listener.names=CONTROLLER",
            "log.dirs=" + data,
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "offsets.topic.num.partitions=1",
            "offsets.topic.replication.factor=1",
            "transaction.state.log.num.partitions=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            // Old timestamps must not be taken for old data.
            "log.retention.ms=-1",
            // Small preallocated indexes: a killed directory keeps them at full length.
            "log.index.size.max.bytes=2048",
            "log.cleaner.backoff.ms=200",
            "log.cleaner.dedupe.buffer.size=2097152",
            "log.initial.task.delay.ms=100",
            "metadata.log.max.record.bytes.between.snapshots=4000",
            "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false",
            "");
        Files.writeString(out.resolve("server.properties"), text);
    }

    private void format() throws Exception {
        // A fixed cluster id, so that regenerating changes as little as can be.
        run("kafka.tools.StorageTool", "format", "--standalone", "-t", "klammCorpusAAAAAAAAAAA", "-c",
            out.resolve("server.properties").toString(),
            "--add-scram", "SCRAM-SHA-256=[name=admin,password=corpus,iterations=4096,salt=\"c2FsdHNhbHRzYWx0\"]");
    }

    private Process java(Path log, String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of("java", "-Xmx256m", "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"),
            "-cp", System.getProperty("java.class.path")));
        command.addAll(List.of(args));
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    }

    private void run(String... args) throws Exception {
        Path log = out.resolve("tool.log");
        if (java(log, args).waitFor() != 0) {
            throw new IllegalStateException(Files.readString(log));
        }
    }

    private String bootstrap() {
        return "127.0.0.1:" + port;
    }

    private void start() throws Exception {
        broker = java(out.resolve("broker.log"), "kafka.Kafka", out.resolve("server.properties").toString());
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap(), "default.api.timeout.ms", "60000"))) {
            admin.listTopics().names().get();
        }
    }

    private void stop() throws Exception {
        broker.destroy();
        if (!broker.waitFor(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the broker does not stop");
        }
    }

    private void kill() throws Exception {
        broker.destroyForcibly();
        broker.waitFor();
    }

    // ---- what is written

    private void createTopics(Admin admin) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            topics.add(topic("codec-" + codec, 1, Map.of()));
        }
        topics.add(topic("plain", 1, Map.of()));
        topics.add(topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime")));
        topics.add(topic("recompressed", 1, Map.of("compression.type", "zstd")));
        topics.add(topic("shapes", 1, Map.of("index.interval.bytes", "500")));
        topics.add(topic("transactions", 1, Map.of("segment.ms", "60000", "index.interval.bytes", "100")));
        topics.add(topic("rolled", 1, Map.of("segment.ms", "60000", "index.interval.bytes", "200")));
        topics.add(topic("compacted", 1, Map.of("cleanup.policy", "compact", "segment.ms", "60000",
            "min.cleanable.dirty.ratio", "0.01", "index.interval.bytes", "200")));
        topics.add(topic("compacted-fast", 1, Map.of("cleanup.policy", "compact", "segment.ms", "60000",
            "min.cleanable.dirty.ratio", "0.01", "delete.retention.ms", "100")));
        topics.add(topic("epochs", 2, Map.of()));
        topics.add(topic("never-written", 1, Map.of()));
        topics.add(topic("deleted", 1, Map.of()));
        admin.createTopics(topics).all().get();
    }

    private static NewTopic topic(String name, int partitions, Map<String, String> config) {
        return new NewTopic(name, partitions, (short) 1).configs(config);
    }

    /** Kinds of metadata records that topics alone do not make. */
    private void fillMetadata(Admin admin) throws Exception {
        ConfigResource plain = new ConfigResource(ConfigResource.Type.TOPIC, "plain");
        ConfigResource cluster = new ConfigResource(ConfigResource.Type.BROKER, "");
        admin.incrementalAlterConfigs(Map.of(
            plain, List.of(set("retention.ms", "86400000000"), set("max.message.bytes", "2000000")),
            cluster, List.of(set("log.cleaner.threads", "1")))).all().get();
        admin.incrementalAlterConfigs(Map.of(plain, List.of(new AlterConfigOp(
            new ConfigEntry("max.message.bytes", ""), AlterConfigOp.OpType.DELETE)))).all().get();
        admin.createPartitions(Map.of("never-written", NewPartitions.increaseTo(2))).all().get();
        admin.alterClientQuotas(List.of(
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("user", "alice", "client-id", "app")),
                List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1048576.0))),
            new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("user", "bob")),
                List.of(new ClientQuotaAlteration.Op("request_percentage", 12.5))))).all().get();
        admin.createAcls(List.of(new AclBinding(
            new ResourcePattern(ResourceType.TOPIC, "shapes", PatternType.LITERAL),
            new AccessControlEntry("User:alice", "*", AclOperation.READ, AclPermissionType.ALLOW)))).all().get();
        admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("alice",
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), "corpus".getBytes(StandardCharsets.UTF_8),
            "saltsaltsalt".getBytes(StandardCharsets.UTF_8)))).all().get();
    }

    private static AlterConfigOp set(String key, String value) {
        return new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET);
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, String> more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap());
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        // A batch is what lies between two flushes.
        properties.put("linger.ms", "60000");
        properties.put("batch.size", "200000");
        properties.putAll(more);
        return new KafkaProducer<>(properties);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String words(Random random, int count) {
        String[] words = {"gorge", "river", "stone", "castle", "official", "record", "offset", "segment", "batch"};
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append(words[random.nextInt(words.length)]).append(' ');
        }
        return text.toString();
    }

    /** Batches of 1, 2, 3, ... records: with 14 of them the log is long enough for index entries. */
    private void batches(KafkaProducer<byte[], byte[]> producer, String topic, int count) {
        Random random = new Random(7);
        long n = 0;
        for (int batch = 1; batch <= count; batch++) {
            for (int i = 0; i < batch; i++, n++) {
                producer.send(new ProducerRecord<>(topic, 0, T0 + n * 1000, bytes("key-" + n),
                    bytes("value " + n + " " + words(random, 1 + random.nextInt(60)))));
            }
            producer.flush();
        }
    }

    private void codecs() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (var idempotent = producer(Map.of("compression.type", codec))) {
                batches(idempotent, "codec-" + codec, 14);
            }
        }
        for (String codec : List.of("none", "gzip", "lz4")) {
            try (var plain = producer(Map.of("compression.type", codec, "enable.idempotence", "false", "acks", "1"))) {
                batches(plain, "plain", 6);
                batches(plain, "append-time", 6);
                batches(plain, "recompressed", 6);
            }
        }
        try (var one = producer(Map.of())) {
            one.send(new ProducerRecord<>("deleted", 0, T0, null, bytes("soon gone")));
        }
    }

    private void shapes() throws Exception {
        for (String codec : List.of("none", "snappy")) {
            try (var producer = producer(Map.of("compression.type", codec))) {
                send(producer, null, bytes("null key"), T0);
                send(producer, bytes("null value"), null, T0 + 1);
                send(producer, null, null, T0 + 2);
                send(producer, new byte[0], new byte[0], T0 + 3);
                producer.flush();
                send(producer, bytes("unicode \u00e4\u00f6\u00fc \u6e2f \ud83d\ude80"), bytes("\u65e5\u672c\n\ttab"), T0 + 4);
                send(producer, new byte[] {0, (byte) 0xff, (byte) 0xc3, 0x28, 10}, new byte[] {(byte) 0x80, 0, 7}, T0 + 5);
                producer.flush();
                var headers = new ProducerRecord<>("shapes", 0, T0 + 6, bytes("headers"), bytes("many"));
                headers.headers().add(new RecordHeader("first", bytes("1")));
                headers.headers().add(new RecordHeader("first", bytes("again")));
                headers.headers().add(new RecordHeader("null", (byte[]) null));
                headers.headers().add(new RecordHeader("empty", new byte[0]));
                headers.headers().add(new RecordHeader("", bytes("no name")));
                headers.headers().add(new RecordHeader("bin\u00e4r", new byte[] {(byte) 0xfe, 1, 2}));
                producer.send(headers);
                producer.flush();
                // Timestamps that go back, stand still and jump; the time index follows the largest.
                for (long step : new long[] {100, 50, 50, 7, 2000, 1999, 0}) {
                    send(producer, bytes("step " + step), bytes("x".repeat(300)), T0 + step);
                    producer.flush();
                }
                for (long step : new long[] {30, 4000, 20}) {
                    send(producer, bytes("inside " + step), bytes("y"), T0 + step);
                }
                producer.flush();
                send(producer, bytes("large"), bytes("z".repeat(20_000)), T0 + 5000);
                producer.flush();
            }
        }
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, byte[] key, byte[] value, long timestamp) {
        producer.send(new ProducerRecord<>("shapes", 0, timestamp, key, value));
    }

    /** Two transactional producers interleaved; segments roll between so that there are several .txnindex files. */
    private void transactions() throws Exception {
        try (var a = producer(Map.of("transactional.id", "a", "compression.type", "lz4"));
             var b = producer(Map.of("transactional.id", "b"));
             var plain = producer(Map.of("enable.idempotence", "false"))) {
            a.initTransactions();
            b.initTransactions();
            for (int round = 0; round < 6; round++) {
                long time = now + round * 25_000L;
                a.beginTransaction();
                b.beginTransaction();
                transactional(a, "a" + round, time);
                transactional(b, "b" + round, time + 10);
                plain.send(new ProducerRecord<>("transactions", 0, time + 20, bytes("plain"), bytes("p" + round)));
                plain.flush();
                transactional(a, "a" + round + "'", time + 30);
                if (round % 2 == 0) {
                    a.abortTransaction();
                } else {
                    a.commitTransaction();
                }
                if (round % 3 == 0) {
                    b.abortTransaction();
                } else {
                    b.commitTransaction();
                }
            }
        }
    }

    private static void transactional(KafkaProducer<byte[], byte[]> producer, String name, long time) {
        for (int i = 0; i < 3; i++) {
            producer.send(new ProducerRecord<>("transactions", 0, time + i, bytes(name), bytes(name + " record " + i)));
        }
        producer.flush();
    }

    /** A segment per 60 s of record time. */
    private void rolled() {
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 200; i++) {
                producer.send(new ProducerRecord<>("rolled", 0, T0 + i * 1000L, bytes("k" + i), bytes("rolled value " + i)));
                if (i % 3 == 0) {
                    producer.flush();
                }
            }
        }
    }

    /** Rounds of overwritten keys, tombstones and transactions, each followed by a roll and a run of the cleaner. */
    private void compactedRounds() throws Exception {
        for (int round = 0; round < 4; round++) {
            for (String topic : List.of("compacted", "compacted-fast")) {
                compactedRound(topic, round, now + round * 130_000L);
            }
            Thread.sleep(2500);
        }
    }

    private void compactedRound(String topic, int round, long time) {
        for (String codec : List.of("none", "zstd")) {
            // A producer that never comes back: its last batch stays, empty, to keep its sequence.
            try (var producer = producer(Map.of("compression.type", codec))) {
                for (int i = 0; i < 24; i++) {
                    byte[] value = (i + round) % 5 == 0 ? null : bytes("round " + round + " value " + i);
                    producer.send(new ProducerRecord<>(topic, 0, time + i, bytes("key-" + i % 12), value));
                    if (i % 6 == 5) {
                        producer.flush();
                    }
                }
            }
        }
        try (var transactional = producer(Map.of("transactional.id", topic))) {
            transactional.initTransactions();
            for (boolean commit : new boolean[] {true, false}) {
                transactional.beginTransaction();
                transactional.send(new ProducerRecord<>(topic, 0, time + 30, bytes("txn"), bytes(round + " " + commit)));
                transactional.flush();
                if (commit) {
                    transactional.commitTransaction();
                } else {
                    transactional.abortTransaction();
                }
            }
        }
        try (var producer = producer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, 0, time + 61_000, bytes("roll"), bytes("round " + round)));
        }
    }

    private void epochs(int run) {
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 4; i++) {
                producer.send(new ProducerRecord<>("epochs", i % 2, T0 + run * 1000 + i, bytes("run"), bytes(run + " " + i)));
                producer.flush();
            }
        }
    }

    private void commitOffsets() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap());
        properties.put("group.id", "corpus");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<byte[], byte[]>(properties)) {
            consumer.subscribe(List.of("codec-none"));
            for (int i = 0; i < 50 && consumer.poll(Duration.ofMillis(200)).isEmpty(); i++) { }
            consumer.commitSync(Map.of(new TopicPartition("codec-none", 0), new OffsetAndMetadata(3, "three")));
        }
    }

    private void leaveTransactionOpen() {
        var producer = producer(Map.of("transactional.id", "open"));
        producer.initTransactions();
        producer.beginTransaction();
        transactional(producer, "open", now + 200_000);
        producer.close(Duration.ZERO);
    }

    // ---- formats 0 and 1, written by Kafka's own classes

    private void legacy() throws IOException {
        for (byte magic = 0; magic <= 1; magic++) {
            Path directory = Files.createDirectories(out.resolve("legacy/magic" + magic + "-0"));
            ByteBuffer all = ByteBuffer.allocate(64 * 1024);
            long offset = 0;
            for (Compression compression : List.of(Compression.NONE, Compression.gzip().build(),
                    Compression.snappy().build(), Compression.lz4().build())) {
                MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(4096), magic, compression,
                    TimestampType.CREATE_TIME, offset, 0L);
                for (int i = 0; i < 3; i++, offset++) {
                    builder.append(new SimpleRecord(magic == 0 ? -1 : T0 + offset,
                        i == 1 ? null : bytes("key " + offset), i == 2 ? null : bytes("value " + offset)));
                }
                all.put(builder.build().buffer());
            }
            try (FileChannel file = FileChannel.open(directory.resolve("00000000000000000000.log"),
                    StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                file.write(all.flip());
            }
        }
    }

    // ---- wounds

    private static final String LOG = "00000000000000000000.log";

    private void damaged() throws IOException {
        Path log = out.resolve("stopped/codec-none-0/" + LOG);
        Path gzip = out.resolve("stopped/codec-gzip-0/" + LOG);
        byte[] whole = Files.readAllBytes(log);
        int third = batchStart(whole, 2);
        wound("record-byte", LOG, flipped(whole, third + 70));
        wound("crc-field", LOG, flipped(whole, third + 17));
        wound("magic", LOG, set(whole, third + 16, 3));
        wound("torn-batch", LOG, cut(whole, third + 90));
        wound("torn-header", LOG, cut(whole, third + 9));
        wound("length-negative", LOG, putInt(whole, third + 8, -5));
        wound("length-tiny", LOG, putInt(whole, third + 8, 10));
        wound("length-huge", LOG, putInt(whole, third + 8, Integer.MAX_VALUE - 20));
        wound("zero-tail", LOG, joined(whole, new byte[300]));
        wound("text-tail", LOG, joined(whole, bytes("this was never a record batch ".repeat(10))));
        byte[] squeezed = Files.readAllBytes(gzip);
        wound("gzip-stream", LOG, flipped(squeezed, batchStart(squeezed, 5) + 80));

        Path rolled = out.resolve("stopped/rolled-0");
        String base = "00000000000000000000";
        byte[] index = Files.readAllBytes(rolled.resolve(base + ".index"));
        byte[] times = Files.readAllBytes(rolled.resolve(base + ".timeindex"));
        byte[] rolledLog = Files.readAllBytes(rolled.resolve(LOG));
        woundIndexes("index-position", rolledLog, putInt(index, 20, 33), times);
        woundIndexes("index-order", rolledLog, putInt(index, 24, 1), times);
        woundIndexes("index-length", rolledLog, cut(index, index.length - 3), times);
        woundIndexes("time-order", rolledLog, index, putInt(times, 16, 5));
        woundIndexes("time-offset", rolledLog, index, putInt(times, 32, 900));
        woundIndexes("time-length", rolledLog, index, cut(times, times.length - 5));
        woundIndexes("indexes-zero", rolledLog, new byte[index.length], new byte[times.length]);

        Path transactions = out.resolve("stopped/transactions-0");
        for (String kind : List.of(".txnindex", ".snapshot")) {
            Path file;
            try (Stream<Path> files = Files.list(transactions)) {
                file = files.filter(f -> f.toString().endsWith(kind)).sorted().findFirst().orElseThrow();
            }
            byte[] bytes = Files.readAllBytes(file);
            String name = file.getFileName().toString();
            wound("txn" + kind.substring(1) + "-cut", name, cut(bytes, bytes.length - 7));
            wound("txn" + kind.substring(1) + "-version", name, set(bytes, 1, 9));
            wound("txn" + kind.substring(1) + "-byte", name, flipped(bytes, bytes.length - 9));
        }
    }

    private void woundIndexes(String name, byte[] log, byte[] index, byte[] times) throws IOException {
        wound(name, LOG, log);
        wound(name, LOG.replace(".log", ".index"), index);
        wound(name, LOG.replace(".log", ".timeindex"), times);
    }

    private void wound(String name, String file, byte[] bytes) throws IOException {
        Files.write(Files.createDirectories(out.resolve("damaged/" + name + "-0")).resolve(file), bytes);
    }

    private static int batchStart(byte[] log, int number) {
        int position = 0;
        for (int i = 0; i < number; i++) {
            position += 12 + ByteBuffer.wrap(log).getInt(position + 8);
        }
        return position;
    }

    private static byte[] flipped(byte[] bytes, int at) {
        return set(bytes, at, bytes[at] ^ 0x10);
    }

    private static byte[] set(byte[] bytes, int at, int value) {
        byte[] copy = bytes.clone();
        copy[at] = (byte) value;
        return copy;
    }

    private static byte[] putInt(byte[] bytes, int at, int value) {
        byte[] copy = bytes.clone();
        ByteBuffer.wrap(copy).putInt(at, value);
        return copy;
    }

    private static byte[] cut(byte[] bytes, int length) {
        return java.util.Arrays.copyOf(bytes, length);
    }

    private static byte[] joined(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
    }

    // ---- files

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> paths = Files.walk(from)) {
            for (Path path : (Iterable<Path>) paths::iterator) {
                Path target = to.resolve(from.relativize(path).toString());
                if (Files.isDirectory(path)) {
                    Files.createDirectories(target);
                } else {
                    Files.copy(path, target);
                }
            }
        }
    }

    private static void delete(Path root) throws IOException {
        try (Stream<Path> paths = Files.walk(root)) {
            for (Path path : paths.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
