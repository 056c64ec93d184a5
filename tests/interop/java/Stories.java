import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Partitioner;
import org.apache.kafka.clients.producer.ProducerInterceptor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The stories of Kafka's Java clients against a broker: {@code BOOTSTRAP TOPIC-PREFIX}. Prints one line for each fact; ends
 * with an exception at the first thing that is not so. Uses only what clients from 2.5 to 4.4 have.
 */
public final class Stories {
    private static final int RECORDS = 40;
    private static final int PARTITIONS = 7;
    private static final int EACH = 10;
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Duration SHORT = Duration.ofMillis(20);
    /** Timestamp of record 0: recent, or retention takes what was just written. */
    private static final long T0 = System.currentTimeMillis() - 3_600_000;

    private final String bootstrap;
    private final String prefix;
    private final Admin admin;

    private Stories(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        Stories stories = new Stories(arguments[0], arguments[1]);
        stories.everyCodec();
        stories.positions();
        stories.commits();
        stories.groups();
        stories.transactions();
        stories.administration();
        stories.ownCode();
        stories.offsetsKeptOutside();
        stories.admin.close();
    }

    // ---- what all stories use

    private static void say(String fact) {
        System.out.println(fact);
    }

    private static void check(boolean so, Object facts) {
        if (!so) {
            throw new AssertionError(String.valueOf(facts));
        }
    }

    private static void eventually(String what, BooleanSupplier so) throws InterruptedException {
        for (long until = System.nanoTime() + PATIENCE.toNanos(); !so.getAsBoolean(); Thread.sleep(5)) {
            check(System.nanoTime() < until, "waited in vain: " + what);
        }
    }

    private void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
    }

    private KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", bootstrap);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        config.put("fetch.max.wait.ms", 20);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private static String value(int n) {
        return ("value " + n + " ").repeat(1 + n % 9);
    }

    /** The next records, at least so many. */
    private static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count)
            throws InterruptedException {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        eventually(count + " records", () -> {
            consumer.poll(SHORT).forEach(found::add);
            return found.size() >= count;
        });
        return found;
    }

    private List<ConsumerRecord<String, String>> readFrom(String topic, long offset, int count, String isolation)
            throws InterruptedException {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", isolation))) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, offset);
            return read(consumer, count);
        }
    }

    // ---- one partition

    private void everyCodec() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = prefix + "-codec-" + codec;
            create(topic, 1, Map.of());
            boolean idempotent = !codec.equals("none");
            Map<String, Object> config = Map.of("compression.type", codec, "enable.idempotence", idempotent,
                "acks", idempotent ? "all" : "1", "linger.ms", 5);
            try (KafkaProducer<String, String> producer = producer(config)) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int n = 0; n < RECORDS; n++) {
                    ProducerRecord<String, String> record = new ProducerRecord<>(topic, 0, T0 + n, "key " + n, value(n));
                    record.headers().add("n", Integer.toString(n).getBytes(StandardCharsets.UTF_8));
                    sent.add(producer.send(record));
                }
                for (int n = 0; n < RECORDS; n++) {
                    check(sent.get(n).get().offset() == n, topic);
                }
            }
            List<ConsumerRecord<String, String>> found = readFrom(topic, 0, RECORDS, "read_uncommitted");
            for (int n = 0; n < RECORDS; n++) {
                ConsumerRecord<String, String> r = found.get(n);
                byte[] header = Integer.toString(n).getBytes(StandardCharsets.UTF_8);
                check(r.offset() == n && r.key().equals("key " + n) && r.value().equals(value(n)) && r.timestamp() == T0 + n
                    && Arrays.equals(r.headers().lastHeader("n").value(), header), r);
            }
            say("codec " + codec + ": " + found.size() + " records");
        }
    }

    private void positions() throws Exception {
        String topic = prefix + "-codec-gzip";
        TopicPartition partition = new TopicPartition(topic, 0);
        say("seek to 25: " + readFrom(topic, 25, 1, "read_uncommitted").get(0).offset());
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            say("at time 30: " + consumer.offsetsForTimes(Map.of(partition, T0 + 30)).get(partition).offset());
            var late = consumer.offsetsForTimes(Map.of(partition, T0 + RECORDS)).get(partition);
            say("past the last time: " + (late == null ? "none" : late.toString()));
            List<TopicPartition> one = List.of(partition);
            say("ends: " + consumer.beginningOffsets(one).get(partition) + " " + consumer.endOffsets(one).get(partition));
        }
    }

    private void commits() throws Exception {
        TopicPartition partition = new TopicPartition(prefix + "-codec-none", 0);
        Map<String, Object> group = Map.of("group.id", prefix + "-commits");
        try (KafkaConsumer<String, String> consumer = consumer(group)) {
            consumer.assign(List.of(partition));
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(4, "note")));
        }
        try (KafkaConsumer<String, String> consumer = consumer(group)) {
            consumer.assign(List.of(partition));
            OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
            say("committed: " + committed.offset() + " " + committed.metadata());
            say("goes on at: " + read(consumer, 1).get(0).offset());
        }
    }

    // ---- groups

    private void groups() throws Exception {
        String topic = prefix + "-seven";
        create(topic, PARTITIONS, Map.of());
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (int n = 0; n < PARTITIONS * EACH; n++) {
                producer.send(new ProducerRecord<>(topic, n % PARTITIONS, null, value(n)));
            }
        }
        Map<String, String> assignors = new TreeMap<>(Map.of("0range", "Range", "1roundrobin", "RoundRobin",
            "2sticky", "Sticky", "3cooperative-sticky", "CooperativeSticky"));
        for (Map.Entry<String, String> assignor : assignors.entrySet()) {
            spread(topic, assignor.getKey().substring(1), assignor.getValue() + "Assignor");
        }
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, 3, null, "one more")).get();
        }
        try (KafkaConsumer<String, String> consumer = member(topic, "range", "RangeAssignor")) {
            ConsumerRecord<String, String> one = read(consumer, 1).get(0);
            say("the group goes on with: [(" + one.partition() + ", " + one.offset() + ")]");
        }
    }

    private KafkaConsumer<String, String> member(String topic, String name, String assignor) {
        KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", prefix + "-" + name,
            "heartbeat.interval.ms", 100,
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor));
        consumer.subscribe(List.of(topic));
        return consumer;
    }

    private void spread(String topic, String name, String assignor) throws Exception {
        List<KafkaConsumer<String, String>> members = new ArrayList<>();
        Set<String> seen = new HashSet<>();
        for (int i = 0; i < 3; i++) {
            members.add(member(topic, name, assignor));
        }
        eventually(name, () -> areEven(pollEach(members, seen)));
        say(name + ": " + (name.endsWith("sticky") ? "even" : shares(members).toString().replaceAll("(?<=]), |^\\[|]$| ", "")));
        eventually("every record", () -> pollEach(members, seen) != null && seen.size() == PARTITIONS * EACH);
        say(name + " read: " + seen.size() + " records");
        Set<KafkaConsumer<String, String>> committed = new HashSet<>();
        eventually("commits", () -> {
            pollEach(members, seen).stream().filter(member -> !committed.contains(member)).forEach(member -> {
                try {
                    member.commitSync();
                    committed.add(member);
                } catch (RebalanceInProgressException again) {
                    // The next poll completes it.
                    check(again.getMessage() != null, again);
                }
            });
            return committed.size() == members.size();
        });
        members.remove(0).close();
        eventually(name + " after one left", () -> areEven(pollEach(members, seen)));
        List<Integer> sizes = members.stream().map(member -> member.assignment().size()).sorted().collect(Collectors.toList());
        say(name + " after one left: " + sizes);
        members.forEach(KafkaConsumer::close);
    }

    private static List<KafkaConsumer<String, String>> pollEach(List<KafkaConsumer<String, String>> members, Set<String> seen) {
        members.forEach(member -> member.poll(SHORT).forEach(r -> seen.add(r.partition() + " " + r.offset())));
        return members;
    }

    /** The partitions of each member, members by their smallest. */
    private static List<List<Integer>> shares(List<KafkaConsumer<String, String>> members) {
        return members.stream()
            .map(member -> member.assignment().stream().map(TopicPartition::partition).sorted().collect(Collectors.toList()))
            .sorted((a, b) -> a.toString().compareTo(b.toString())).collect(Collectors.toList());
    }

    private static boolean areEven(List<KafkaConsumer<String, String>> members) {
        List<List<Integer>> shares = shares(members);
        Set<Integer> all = new HashSet<>();
        shares.forEach(all::addAll);
        List<Integer> sizes = shares.stream().map(List::size).collect(Collectors.toList());
        int given = sizes.stream().mapToInt(size -> size).sum();
        return all.size() == PARTITIONS && given == PARTITIONS && Collections.max(sizes) - Collections.min(sizes) <= 1;
    }

    // ---- transactions

    private void transactions() throws Exception {
        String ledger = prefix + "-ledger";
        String copied = prefix + "-copied";
        create(ledger, 1, Map.of());
        create(copied, 1, Map.of());
        KafkaProducer<String, String> clerk = producer(Map.of("transactional.id", prefix + "-clerk"));
        clerk.initTransactions();
        transact(clerk, ledger, "a", 3, true);
        transact(clerk, ledger, "b", 3, false);
        transact(clerk, ledger, "c", 2, true);
        say("uncommitted: " + values(readFrom(ledger, 0, 8, "read_uncommitted")));
        say("committed: " + values(readFrom(ledger, 0, 5, "read_committed")));
        say("piped, aborted: " + pipe(clerk, ledger, copied, false));
        say("piped, committed: " + pipe(clerk, ledger, copied, true));
        say("copied: " + values(readFrom(copied, 0, 5, "read_committed")));
        fenced(clerk, ledger);
    }

    private static void transact(KafkaProducer<String, String> producer, String topic, String name, int count, boolean commit) {
        producer.beginTransaction();
        for (int n = 0; n < count; n++) {
            producer.send(new ProducerRecord<>(topic, 0, null, name + n));
        }
        // An abort would drop what has not been sent.
        producer.flush();
        end(producer, commit);
    }

    private static void end(KafkaProducer<String, String> producer, boolean commit) {
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
    }

    private static String values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).collect(Collectors.joining(" "));
    }

    /** Copies what is committed in upper case, and says where the group is afterwards. */
    private String pipe(KafkaProducer<String, String> producer, String from, String to, boolean commit) throws Exception {
        TopicPartition partition = new TopicPartition(from, 0);
        Map<String, Object> config = Map.of("group.id", prefix + "-pipe", "isolation.level", "read_committed");
        try (KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(from));
            producer.beginTransaction();
            List<ConsumerRecord<String, String>> found = read(consumer, 5);
            found.forEach(r -> producer.send(new ProducerRecord<>(to, 0, null, r.value().toUpperCase())));
            long next = found.get(found.size() - 1).offset() + 1;
            producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(next)), consumer.groupMetadata());
            producer.flush();
            end(producer, commit);
            // The answer waits until the group has heard of the end.
            OffsetAndMetadata place = consumer.committed(Set.of(partition)).get(partition);
            return place == null ? "none" : Long.toString(place.offset());
        }
    }

    private void fenced(KafkaProducer<String, String> first, String topic) {
        try (KafkaProducer<String, String> second = producer(Map.of("transactional.id", prefix + "-clerk"))) {
            second.initTransactions();
            transact(first, topic, "late", 1, true);
            say("fenced: no");
        } catch (KafkaException error) {
            say("fenced: yes");
        }
        first.close(Duration.ZERO);
    }

    // ---- administration

    private void administration() throws Exception {
        String topic = prefix + "-admin";
        TopicPartition first = new TopicPartition(topic, 0);
        create(topic, 3, Map.of("retention.ms", "123456"));
        try {
            create(topic, 3, Map.of());
        } catch (ExecutionException error) {
            check(error.getCause() instanceof TopicExistsException, error);
            say("created twice: refused");
        }
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        // A broker hears of it a moment after the controller answers.
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            eventually("five partitions", () -> consumer.partitionsFor(topic).size() == 5);
        }
        say("partitions: 5");
        say("retention: " + retention(topic));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "654321"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
        eventually("another retention", () -> retention(topic).equals("654321"));
        say("retention: 654321");
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (int n = 0; n < EACH; n++) {
                producer.send(new ProducerRecord<>(topic, 0, null, value(n)));
            }
        }
        admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(6))).all().get();
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(List.of(first));
            consumer.seekToBeginning(List.of(first));
            say("after deletion the first is: " + read(consumer, 1).get(0).offset());
        }
        admin.deleteConsumerGroups(List.of(prefix + "-commits")).all().get();
        boolean there = admin.listConsumerGroups().all().get().stream()
            .anyMatch(group -> group.groupId().equals(prefix + "-commits"));
        say("the group is " + (there ? "there" : "gone"));
        admin.deleteTopics(List.of(topic)).all().get();
        eventually("the topic goes", () -> !topics().contains(topic));
        say("the topic is gone");
    }

    private String retention(String topic) {
        try {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            return admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
        } catch (InterruptedException | ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    private Set<String> topics() {
        try {
            return admin.listTopics().names().get();
        } catch (InterruptedException | ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    // ---- code of the application inside the clients

    /** The number at the end of the key is the partition. */
    public static final class ByKey implements Partitioner {
        @Override
        public int partition(String topic, Object key, byte[] keyBytes, Object value, byte[] valueBytes, Cluster cluster) {
            return Integer.parseInt(key.toString().replaceAll("\\D", "")) % cluster.partitionCountForTopic(topic);
        }

        @Override
        public void close() { }

        @Override
        public void configure(Map<String, ?> configs) { }
    }

    /** Changes what is sent, and counts what was acknowledged. */
    public static final class Sending implements ProducerInterceptor<String, String> {
        private static final AtomicInteger ACKNOWLEDGED = new AtomicInteger();

        @Override
        public ProducerRecord<String, String> onSend(ProducerRecord<String, String> record) {
            return new ProducerRecord<>(record.topic(), record.partition(), record.key(), "intercepted " + record.value());
        }

        @Override
        public void onAcknowledgement(RecordMetadata metadata, Exception error) {
            ACKNOWLEDGED.addAndGet(error == null ? 1 : 0);
        }

        @Override
        public void close() { }

        @Override
        public void configure(Map<String, ?> configs) { }
    }

    /** Counts what comes and what is committed. */
    public static final class Receiving implements ConsumerInterceptor<String, String> {
        private static final AtomicInteger CAME = new AtomicInteger();
        private static final AtomicInteger COMMITTED = new AtomicInteger();

        @Override
        public ConsumerRecords<String, String> onConsume(ConsumerRecords<String, String> records) {
            CAME.addAndGet(records.count());
            return records;
        }

        @Override
        public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
            COMMITTED.addAndGet(offsets.size());
        }

        @Override
        public void close() { }

        @Override
        public void configure(Map<String, ?> configs) { }
    }

    private void ownCode() throws Exception {
        String topic = prefix + "-own-code";
        create(topic, 4, Map.of());
        eventually("four partitions", () -> topics().contains(topic));
        Map<String, Object> config =
            Map.of("partitioner.class", ByKey.class.getName(), "interceptor.classes", Sending.class.getName());
        try (KafkaProducer<String, String> producer = producer(config)) {
            for (int n = 0; n < 12; n++) {
                producer.send(new ProducerRecord<>(topic, "key " + n, "value " + n));
            }
        }
        config = Map.of("group.id", prefix + "-own-code", "interceptor.classes", Receiving.class.getName());
        try (KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            List<ConsumerRecord<String, String>> found = read(consumer, 12);
            consumer.commitSync();
            found.forEach(r -> check(r.key().equals("key " + r.value().substring("intercepted value ".length())), r));
            say("partitioner: " + found.stream().filter(r -> r.partition() == 3).map(ConsumerRecord::key)
                .collect(Collectors.joining(", ")));
        }
        say("interceptors: " + Sending.ACKNOWLEDGED + " acknowledged, " + Receiving.CAME + " came, "
            + Receiving.COMMITTED + " places");
    }

    /** A group gives out partitions; where to begin is known to the application alone. */
    private void offsetsKeptOutside() throws Exception {
        Map<TopicPartition, Long> kept = new HashMap<>();
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        String topic = prefix + "-seven";
        for (int wanted : List.of(20, PARTITIONS * EACH + 1)) {
            try (KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", prefix + "-outside", "max.poll.records", 4))) {
                consumer.subscribe(List.of(topic), new Keeper(consumer, kept));
                eventually("records", () -> {
                    consumer.poll(SHORT).forEach(found::add);
                    return found.size() >= wanted;
                });
            }
        }
        long different = found.stream().map(r -> r.partition() + " " + r.offset()).distinct().count();
        say("kept outside: " + different + " records, " + (found.size() - different) + " twice");
        var inside = admin.listConsumerGroupOffsets(prefix + "-outside").partitionsToOffsetAndMetadata().get();
        say("kept inside: " + inside.size());
    }

    /** Keeps positions when partitions go, and takes them up when they come. */
    private static final class Keeper implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private final Map<TopicPartition, Long> kept;

        private Keeper(KafkaConsumer<String, String> consumer, Map<TopicPartition, Long> kept) {
            this.consumer = consumer;
            this.kept = kept;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> kept.put(partition, consumer.position(partition)));
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> consumer.seek(partition, kept.getOrDefault(partition, 0L)));
        }
    }
}
