import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's Java clients under command of a test: one virtual machine for many commands.
 *
 * A command is a line of words on standard input, `NAME BOOTSTRAP TOPIC ...`; the answer is one line, `ok ...` or `failed ...`.
 * Record number n of a topic has always the same key, value, header and timestamp, so whoever reads can tell what was written.
 */
public class Clients {
    /** Timestamp of record 0: recent, or retention takes what was just written. */
    private static final long T0 = System.currentTimeMillis() - 3_600_000;
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    public static void main(String[] args) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = ("ok " + obey(line.split(" "))).trim();
            } catch (Exception | AssertionError error) {
                Throwable cause = error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
                answer = "failed " + cause.getClass().getSimpleName() + " " + cause.getMessage();
            }
            System.out.println(answer.replace('\n', ' '));
            System.out.flush();
        }
    }

    private static String obey(String[] w) throws Exception {
        String bootstrap = w[1];
        String topic = w.length > 2 ? w[2] : "";
        switch (w[0]) {
            case "create":
                return create(bootstrap, topic, Integer.parseInt(w[3]), w.length > 4 ? w[4] : "");
            case "delete":
                return admin(bootstrap, admin -> admin.deleteTopics(List.of(topic)).all().get());
            case "grow":
                return admin(bootstrap,
                    admin -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(Integer.parseInt(w[3])))).all().get());
            case "configure":
                return configure(bootstrap, topic, w[3], w[4]);
            case "configuration":
                return configuration(bootstrap, topic, w[3]);
            case "topics":
                return topics(bootstrap);
            case "describe":
                return describe(bootstrap, topic);
            case "transact":
                return transact(bootstrap, partition(w), w[4]);
            case "open":
                return open(bootstrap, partition(w), w[4]);
            case "recover":
                return recover(bootstrap, w[4]);
            case "replace":
                return replace(bootstrap, partition(w), w[4]);
            case "pipe":
                return pipe(bootstrap, topic, w[3], w[4], Boolean.parseBoolean(w[5]));
            case "read":
                return read(bootstrap, partition(w), w[4]);
            case "digest":
                return digest(bootstrap, partition(w), w[4]);
            case "produce":
                return produce(bootstrap, partition(w), w[4], w[5].equals("idempotent"), Integer.parseInt(w[6]),
                    Integer.parseInt(w[7]));
            case "verify":
                return verify(bootstrap, partition(w), Integer.parseInt(w[4]), w[5]);
            case "offsets":
                return offsets(bootstrap, partition(w));
            case "at-time":
                return atTime(bootstrap, partition(w), T0 + Long.parseLong(w[4]));
            case "at-timestamp":
                return atTime(bootstrap, partition(w), Long.parseLong(w[4]));
            case "follow":
                return follow(bootstrap, topic, w[3]);
            case "store":
                return store(bootstrap, topic, Path.of(w[3]));
            case "fetch":
                return fetch(bootstrap, topic, Path.of(w[3]));
            default:
                throw new IllegalArgumentException("unknown command " + w[0]);
        }
    }

    private static TopicPartition partition(String[] words) {
        return new TopicPartition(words[2], Integer.parseInt(words[3]));
    }

    /** How many records a group's consumer finds between where the group was left and the ends. */
    private static String follow(String bootstrap, String topic, String group) {
        Map<String, Object> properties = new HashMap<>();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", group);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", false);
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            consumer.subscribe(List.of(topic));
            int count = 0;
            long until = System.currentTimeMillis() + PATIENCE.toMillis();
            while (System.currentTimeMillis() < until) {
                count += consumer.poll(Duration.ofMillis(50)).count();
                var all = consumer.assignment();
                var ends = consumer.endOffsets(all);
                if (!all.isEmpty() && all.stream().allMatch(partition -> consumer.position(partition) == ends.get(partition))) {
                    consumer.commitSync();
                    return Integer.toString(count);
                }
            }
        }
        throw new IllegalStateException("the group was not assigned " + topic + ", or did not come to its end");
    }

    // ---- admin

    private interface Action {
        Object run(Admin admin) throws Exception;
    }

    private static String admin(String bootstrap, Action action) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            Object answer = action.run(admin);
            return answer == null ? "" : answer.toString();
        }
    }

    private static String create(String bootstrap, String topic, int partitions, String configs) throws Exception {
        Map<String, String> config = new HashMap<>();
        for (String pair : configs.isEmpty() ? new String[0] : configs.split(",")) {
            config.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
        }
        var request = new NewTopic(topic, partitions, (short) 1).configs(config);
        return admin(bootstrap, admin -> admin.createTopics(List.of(request)).all().get());
    }

    private static String configure(String bootstrap, String topic, String key, String value) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var operation = new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET);
        return admin(bootstrap, admin -> admin.incrementalAlterConfigs(Map.of(resource, List.of(operation))).all().get());
    }

    private static String configuration(String bootstrap, String topic, String key) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin(bootstrap, admin -> {
            var entry = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key);
            return entry.value() + " " + entry.source();
        });
    }

    private static String topics(String bootstrap) throws Exception {
        return admin(bootstrap, admin -> String.join(",", new java.util.TreeSet<>(admin.listTopics().names().get())));
    }

    /** The topic's id, and for each partition its leader, replicas and in-sync replicas. */
    private static String describe(String bootstrap, String topic) throws Exception {
        return admin(bootstrap, admin -> {
            var description = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            StringBuilder text = new StringBuilder(description.topicId().toString());
            for (var partition : description.partitions()) {
                text.append(' ').append(partition.partition()).append(':').append(partition.leader().id())
                    .append(partition.replicas().stream().map(node -> node.id()).toList().toString().replace(" ", ""))
                    .append(partition.isr().stream().map(node -> node.id()).toList().toString().replace(" ", ""));
            }
            return text;
        });
    }

    // ---- producing

    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static String produce(String bootstrap, TopicPartition to, String codec, boolean idempotent, int first, int count)
            throws Exception {
        Map<String, Object> config = Map.of("compression.type", codec, "enable.idempotence", idempotent,
            "acks", idempotent ? "all" : "1", "linger.ms", 5);
        try (var producer = producer(bootstrap, config)) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (int n = first; n < first + count; n++) {
                answers.add(producer.send(record(to, n)));
                if (n % 50 == 0) {
                    producer.flush();
                }
            }
            long last = -1;
            for (var answer : answers) {
                last = answer.get().offset();
            }
            return "" + last;
        }
    }

    private static ProducerRecord<byte[], byte[]> record(TopicPartition to, int n) {
        var record = new ProducerRecord<>(to.topic(), to.partition(), T0 + n, key(n), value(n));
        if (n % 5 == 0) {
            record.headers().add("number", bytes("" + n)).add("null", null);
        }
        return record;
    }

    private static byte[] key(int n) {
        return n % 7 == 0 ? null : bytes("key-" + n);
    }

    private static byte[] value(int n) {
        if (n % 11 == 0) {
            return null;
        }
        byte[] value = new byte[new Random(n).nextInt(400)];
        // Half text that compresses, half noise that does not.
        byte[] text = bytes("value " + n + " ");
        for (int i = 0; i < value.length; i++) {
            value[i] = text[i % text.length];
        }
        byte[] noise = new byte[value.length / 2];
        new Random(-n).nextBytes(noise);
        System.arraycopy(noise, 0, value, 0, noise.length);
        return value;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Two transactions, the first committed, the second aborted; NAME tells them from others. */
    private static String transact(String bootstrap, TopicPartition to, String name) {
        try (var producer = producer(bootstrap, Map.of("transactional.id", name))) {
            producer.initTransactions();
            for (String end : List.of("committed", "aborted")) {
                producer.beginTransaction();
                for (int i = 0; i < 3; i++) {
                    producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, bytes(name + "-" + end + "-" + i)));
                }
                producer.flush();
                if (end.equals("committed")) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        return "";
    }

    // ---- consuming, without a group

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_" + isolation,
            // A wait for more at the end of a log is not what is tested.
            "auto.offset.reset", "none", "fetch.max.wait.ms", 20), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private interface Visitor {
        void visit(ConsumerRecord<byte[], byte[]> record) throws Exception;
    }

    private static long readAll(KafkaConsumer<byte[], byte[]> consumer, TopicPartition from, Visitor visitor) throws Exception {
        consumer.assign(List.of(from));
        long end = consumer.endOffsets(List.of(from), PATIENCE).get(from);
        consumer.seek(from, consumer.beginningOffsets(List.of(from), PATIENCE).get(from));
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (consumer.position(from) < end) {
            check(System.nanoTime() < deadline, "no progress at " + consumer.position(from) + " of " + end);
            for (var record : consumer.poll(Duration.ofMillis(500))) {
                visitor.visit(record);
                deadline = System.nanoTime() + PATIENCE.toNanos();
            }
        }
        return end;
    }

    private static String verify(String bootstrap, TopicPartition from, int count, String isolation) throws Exception {
        try (var consumer = consumer(bootstrap, isolation)) {
            int[] next = {0};
            readAll(consumer, from, record -> verifyRecord(record, next[0]++));
            check(next[0] == count, "read " + next[0] + " records, not " + count);
            // A jump into the middle, as a client does that resumes.
            int middle = count / 2;
            consumer.seek(from, middle);
            for (int i = 0; i < 100 && count > 0; i++) {
                var records = consumer.poll(Duration.ofMillis(500)).records(from);
                if (!records.isEmpty()) {
                    verifyRecord(records.get(0), middle);
                    return "" + count;
                }
            }
            check(count == 0, "nothing to read at " + middle);
            return "0";
        }
    }

    private static void verifyRecord(ConsumerRecord<byte[], byte[]> record, int n) {
        check(record.offset() == n, "offset " + record.offset() + " where " + n + " belongs");
        check(Arrays.equals(record.key(), key(n)), "key of " + n);
        check(Arrays.equals(record.value(), value(n)), "value of " + n);
        check(record.timestamp() == T0 + n, "timestamp of " + n + ": " + record.timestamp());
        check(record.headers().equals(record(new TopicPartition(record.topic(), record.partition()), n).headers()),
            "headers of " + n);
    }

    /** All values, with commas between. */
    /** Leaves a transaction open, as a producer does that dies. */
    private static String open(String bootstrap, TopicPartition to, String name) throws Exception {
        var producer = producer(bootstrap, Map.of("transactional.id", name));
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, bytes(name + "-left"))).get();
        producer.close(Duration.ZERO);
        return "";
    }

    /** Whoever comes next under the name ends what was left open. */
    private static String recover(String bootstrap, String name) {
        try (var producer = producer(bootstrap, Map.of("transactional.id", name))) {
            producer.initTransactions();
        }
        return "";
    }

    /** A second producer of the same name takes the first one's place: what the first is told. */
    private static String replace(String bootstrap, TopicPartition to, String name) throws Exception {
        try (var first = producer(bootstrap, Map.of("transactional.id", name))) {
            first.initTransactions();
            first.beginTransaction();
            first.send(new ProducerRecord<>(to.topic(), to.partition(), null, bytes(name + "-first"))).get();
            try (var second = producer(bootstrap, Map.of("transactional.id", name))) {
                second.initTransactions();
                second.beginTransaction();
                second.send(new ProducerRecord<>(to.topic(), to.partition(), null, bytes(name + "-second"))).get();
                second.commitTransaction();
            }
            try {
                first.commitTransaction();
                return "committed";
            } catch (KafkaException told) {
                return told.getClass().getSimpleName();
            }
        }
    }

    /** Reads a topic through a group and writes what it finds to another, place and records in one transaction. */
    private static String pipe(String bootstrap, String from, String to, String group, boolean commits) {
        var source = new TopicPartition(from, 0);
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
            "isolation.level", "read_committed", "auto.offset.reset", "earliest", "enable.auto.commit", false));
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
             var producer = producer(bootstrap, Map.of("transactional.id", "pipe-" + group))) {
            producer.initTransactions();
            consumer.subscribe(List.of(from));
            long end = consumer.endOffsets(List.of(source)).get(source);
            var deadline = System.nanoTime() + PATIENCE.toNanos();
            int piped = 0;
            while (!consumer.assignment().contains(source) || consumer.position(source) < end) {
                if (System.nanoTime() > deadline) throw new AssertionError("the end does not come");
                var records = consumer.poll(Duration.ofMillis(100));
                if (records.isEmpty()) continue;
                producer.beginTransaction();
                for (var record : records) {
                    producer.send(new ProducerRecord<>(to, 0, record.key(), record.value()));
                    piped++;
                }
                var next = new OffsetAndMetadata(consumer.position(source));
                producer.sendOffsetsToTransaction(Map.of(source, next), consumer.groupMetadata());
                if (commits) producer.commitTransaction(); else producer.abortTransaction();
            }
            var committed = consumer.committed(Set.of(source)).get(source);
            return piped + " " + (committed == null ? "none" : committed.offset());
        }
    }

    private static String read(String bootstrap, TopicPartition from, String isolation) throws Exception {
        List<String> values = new ArrayList<>();
        try (var consumer = consumer(bootstrap, isolation)) {
            readAll(consumer, from, record -> values.add(new String(record.value(), StandardCharsets.UTF_8)));
        }
        return String.join(",", values);
    }

    /** Number of records and a digest over everything a consumer is told of each. */
    private static String digest(String bootstrap, TopicPartition from, String isolation) throws Exception {
        var digest = java.security.MessageDigest.getInstance("SHA-256");
        long[] count = {0};
        try (var consumer = consumer(bootstrap, isolation)) {
            readAll(consumer, from, record -> {
                count[0]++;
                String text = record.offset() + " " + record.timestamp() + " " + record.timestampType() + " "
                    + record.leaderEpoch() + " " + Arrays.toString(record.key()) + Arrays.toString(record.value());
                digest.update(bytes(text));
                for (var header : record.headers()) {
                    digest.update(bytes(header.key() + Arrays.toString(header.value())));
                }
            });
        }
        return count[0] + " " + java.util.HexFormat.of().formatHex(digest.digest());
    }

    private static String offsets(String bootstrap, TopicPartition of) {
        try (var consumer = consumer(bootstrap, "uncommitted")) {
            return consumer.beginningOffsets(List.of(of), PATIENCE).get(of) + " " + consumer.endOffsets(List.of(of), PATIENCE).get(of);
        }
    }

    private static String atTime(String bootstrap, TopicPartition of, long timestamp) {
        try (var consumer = consumer(bootstrap, "uncommitted")) {
            var found = consumer.offsetsForTimes(Map.of(of, timestamp), PATIENCE).get(of);
            return found == null ? "none"
                : found.offset() + " " + (found.timestamp() - timestamp) + " " + found.leaderEpoch().orElse(-1);
        }
    }

    // ---- a file as records

    private static String store(String bootstrap, String topic, Path file) throws Exception {
        byte[] chunk = new byte[64 * 1024];
        long sent = 0;
        // Only the address is given: what a client does by itself is what is tested.
        try (var producer = producer(bootstrap, Map.of()); InputStream in = Files.newInputStream(file)) {
            Exception[] failure = {null};
            for (int n = in.readNBytes(chunk, 0, chunk.length); n > 0; n = in.readNBytes(chunk, 0, chunk.length)) {
                producer.send(new ProducerRecord<>(topic, 0, null, Arrays.copyOf(chunk, n)), (metadata, error) -> {
                    if (error != null) {
                        failure[0] = error;
                    }
                });
                sent++;
            }
            producer.flush();
            if (failure[0] != null) {
                throw failure[0];
            }
        }
        return "" + sent;
    }

    private static String fetch(String bootstrap, String topic, Path file) throws Exception {
        try (var consumer = consumer(bootstrap, "uncommitted"); OutputStream out = Files.newOutputStream(file)) {
            return "" + readAll(consumer, new TopicPartition(topic, 0), record -> out.write(record.value()));
        }
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }
}
