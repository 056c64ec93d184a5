import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams counts words, exactly once, and dies in the middle: {@code BOOTSTRAP TOPIC-PREFIX STATE-DIRECTORY}.
 *
 * Without a cache each word that is counted is one record of the output. So a word that comes n times leaves exactly
 * 1, 2 ... n, if nothing is lost and nothing is counted twice.
 */
public final class WordCount {
    private static final int LINES = 60;
    private static final int DIES_AT = 20;
    private static final int NEVER = -1;
    private static final List<String> WORDS = List.of("river", "gorge", "rock", "water", "stone");
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final String bootstrap;
    private final String lines;
    private final String counts;
    private final String application;
    private final String state;

    private WordCount(String bootstrap, String prefix, String state) {
        this.bootstrap = bootstrap;
        this.lines = prefix + "-lines";
        this.counts = prefix + "-counts";
        this.application = prefix + "-application";
        this.state = state;
    }

    public static void main(String[] arguments) throws Exception {
        new WordCount(arguments[0], arguments[1], arguments[2]).tell();
    }

    private void tell() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(lines, 2, (short) 1), new NewTopic(counts, 2, (short) 1))).all().get();
            write(0, LINES / 2);
            System.out.println("the first: " + live(DIES_AT));
            write(LINES / 2, LINES);
            System.out.println("the second: " + live(NEVER));
            for (String kind : List.of("changelog", "repartition")) {
                ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, application + "-words-" + kind);
                var config = admin.describeConfigs(List.of(topic)).all().get().get(topic);
                System.out.println(kind + ": " + config.get("cleanup.policy").value());
            }
        }
        counted().forEach((word, values) -> System.out.println(word + ": " + abridged(values)));
    }

    /** Line n has n % 5 + 1 words. */
    private void write(int from, int to) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int n = from; n < to; n++) {
                String line = String.join(" ", WORDS.subList(0, n % WORDS.size() + 1));
                producer.send(new ProducerRecord<>(lines, n % 2, null, line));
            }
        }
    }

    /** One life of the application, until it dies at a line or has counted every word; the state in which it ends. */
    private String live(int diesAt) throws Exception {
        AtomicInteger seen = new AtomicInteger();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(lines, Consumed.with(Serdes.String(), Serdes.String()))
            .peek((key, line) -> {
                if (seen.incrementAndGet() == diesAt) {
                    throw new IllegalStateException("dies as planned");
                }
            })
            .flatMapValues(line -> List.of(line.toUpperCase(Locale.ROOT).split(" ")))
            .groupBy((key, word) -> word, Grouped.<String, String>as("words"))
            .count(Materialized.as("words"))
            .toStream()
            .to(counts, Produced.with(Serdes.String(), Serdes.Long()));
        try (KafkaStreams streams = new KafkaStreams(builder.build(), config())) {
            streams.setUncaughtExceptionHandler(error -> StreamThreadExceptionResponse.SHUTDOWN_CLIENT);
            streams.start();
            long until = System.nanoTime() + PATIENCE.toNanos();
            while (streams.state() != KafkaStreams.State.ERROR && isShort(counted())) {
                if (System.nanoTime() > until) {
                    throw new AssertionError("waited in vain, " + streams.state() + " with " + counted());
                }
                Thread.sleep(20);
            }
            streams.close(PATIENCE);
            return streams.state().toString();
        }
    }

    private Properties config() {
        Properties config = new Properties();
        config.put("application.id", application);
        config.put("bootstrap.servers", bootstrap);
        config.put("processing.guarantee", "exactly_once_v2");
        config.put("state.dir", state);
        config.put("commit.interval.ms", 100);
        // Streams does not leave its group when it dies.
        config.put("session.timeout.ms", 6000);
        config.put("heartbeat.interval.ms", 500);
        config.put("statestore.cache.max.bytes", 0);
        config.put("default.key.serde", Serdes.StringSerde.class.getName());
        config.put("default.value.serde", Serdes.StringSerde.class.getName());
        return config;
    }

    /** All that is committed: for each word the values that it had, in their order. */
    private Map<String, List<Long>> counted() {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed",
            "auto.offset.reset", "earliest", "fetch.max.wait.ms", 20);
        Map<String, List<Long>> counted = new TreeMap<>();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> both = List.of(new TopicPartition(counts, 0), new TopicPartition(counts, 1));
            consumer.assign(both);
            Map<TopicPartition, Long> ends = consumer.endOffsets(both);
            while (both.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<String, Long> r : consumer.poll(Duration.ofMillis(100))) {
                    counted.computeIfAbsent(r.key(), word -> new ArrayList<>()).add(r.value());
                }
            }
        }
        return counted;
    }

    private static boolean isShort(Map<String, List<Long>> counted) {
        return counted.values().stream().mapToInt(List::size).sum() < LINES * (WORDS.size() + 1) / 2;
    }

    private static String abridged(List<Long> values) {
        List<Long> whole = LongStream.rangeClosed(1, values.size()).boxed().collect(Collectors.toList());
        return values.equals(whole) ? "1 to " + values.size() : values.toString();
    }
}
