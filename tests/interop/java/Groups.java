import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Three consumers of one group until all partitions of a topic are spread over them: {@code bootstrap topic assignor...}. */
public final class Groups {
    private static final int MEMBERS = 3;
    private static final long PATIENCE_MS = 60_000;

    public static void main(String[] arguments) throws Exception {
        List<Thread> threads = new ArrayList<>();
        Map<String, String> results = new ConcurrentHashMap<>();
        for (int at = 2; at < arguments.length; at++) {
            String assignor = arguments[at];
            Thread thread = new Thread(() -> results.put(assignor, spread(arguments[0], arguments[1], assignor)));
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        for (int at = 2; at < arguments.length; at++) {
            System.out.println(arguments[at] + " " + results.get(arguments[at]));
        }
    }

    /** Who got what, by the smallest partition. */
    private static String spread(String bootstrap, String topic, String assignor) {
        List<KafkaConsumer<byte[], byte[]>> consumers = new ArrayList<>();
        try {
            for (int at = 0; at < MEMBERS; at++) {
                consumers.add(consumer(bootstrap, topic, assignor));
            }
            long until = System.currentTimeMillis() + PATIENCE_MS;
            while (System.currentTimeMillis() < until) {
                consumers.forEach(consumer -> consumer.poll(Duration.ofMillis(20)));
                if (isSpread(consumers)) {
                    return describe(consumers);
                }
            }
            return "timeout " + describe(consumers);
        } finally {
            consumers.forEach(KafkaConsumer::close);
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String topic, String assignor) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", "spread-" + assignor);
        properties.put("heartbeat.interval.ms", "100");
        properties.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes);
        consumer.subscribe(List.of(topic));
        return consumer;
    }

    private static boolean isSpread(List<KafkaConsumer<byte[], byte[]>> consumers) {
        Set<TopicPartition> all =
            consumers.stream().flatMap(consumer -> consumer.assignment().stream()).collect(Collectors.toSet());
        int given = consumers.stream().mapToInt(consumer -> consumer.assignment().size()).sum();
        int least = consumers.stream().mapToInt(consumer -> consumer.assignment().size()).min().orElse(0);
        return all.size() == 7 && given == 7 && least == 2;
    }

    private static String describe(List<KafkaConsumer<byte[], byte[]>> consumers) {
        TreeSet<String> parts = new TreeSet<>();
        for (KafkaConsumer<byte[], byte[]> consumer : consumers) {
            TreeSet<Integer> numbers = new TreeSet<>();
            consumer.assignment().forEach(partition -> numbers.add(partition.partition()));
            parts.add(numbers.toString());
        }
        return String.join("", parts).replace(" ", "");
    }
}
