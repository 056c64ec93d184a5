import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties.AckMode;
import org.springframework.kafka.support.Acknowledgment;

/**
 * Spring's template and listener against a broker: {@code BOOTSTRAP TOPIC-PREFIX}. A transaction that ends well, one that is
 * rolled back, and a listener that acknowledges by hand and leaves what it did not acknowledge to the next.
 */
public final class Spring {
    private static final long PATIENCE_MS = 60_000;
    private static final List<String> HEARD = new CopyOnWriteArrayList<>();
    private static String bootstrap;
    private static String topic;
    /** What the listener does not acknowledge. */
    private static volatile String refused = "";

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        topic = arguments[1] + "-ledger";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
            write();
            refused = "c1";
            listen(5);
            System.out.println("heard: " + told());
            System.out.println("acknowledged: " + place(admin));
            refused = "";
            HEARD.clear();
            listen(1);
            System.out.println("heard again: " + told());
        }
    }

    private static void write() {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "key.serializer", StringSerializer.class,
            "value.serializer", StringSerializer.class);
        var factory = new DefaultKafkaProducerFactory<String, String>(config);
        factory.setTransactionIdPrefix(topic);
        var template = new KafkaTemplate<>(factory);
        sendAll(template, List.of("a0", "a1", "a2"), false);
        try {
            sendAll(template, List.of("b0", "b1"), true);
        } catch (IllegalStateException planned) {
            System.out.println("rolled back: " + planned.getMessage());
        }
        sendAll(template, List.of("c0", "c1"), false);
        factory.destroy();
    }

    private static void sendAll(KafkaTemplate<String, String> template, List<String> values, boolean fails) {
        template.executeInTransaction(operations -> {
            values.forEach(value -> operations.send(topic, value));
            operations.flush();
            if (fails) {
                throw new IllegalStateException("as planned");
            }
            return values.size();
        });
    }

    /** A life of the application, until its listener has heard so many records. */
    private static void listen(int count) throws InterruptedException {
        try (var context = new AnnotationConfigApplicationContext(Application.class)) {
            for (long until = System.currentTimeMillis() + PATIENCE_MS; HEARD.size() < count; Thread.sleep(20)) {
                if (System.currentTimeMillis() > until) {
                    throw new AssertionError("waited in vain: " + context + " heard " + HEARD);
                }
            }
        }
    }

    private static String told() {
        return String.join(" ", HEARD);
    }

    /** Where the group is; the markers that end transactions have offsets too. */
    private static long place(Admin admin) throws Exception {
        return admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get()
            .get(new TopicPartition(topic, 0)).offset();
    }

    /** What Spring puts together. */
    @Configuration
    @EnableKafka
    public static class Application {
        @Bean
        public ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory() {
            Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", topic,
                "auto.offset.reset", "earliest", "isolation.level", "read_committed", "fetch.max.wait.ms", 20,
                "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class);
            var factory = new ConcurrentKafkaListenerContainerFactory<String, String>();
            factory.setConsumerFactory(new DefaultKafkaConsumerFactory<>(config));
            factory.getContainerProperties().setAckMode(AckMode.MANUAL_IMMEDIATE);
            return factory;
        }

        @Bean
        public Listener listener() {
            return new Listener();
        }

        @Bean
        public String ledger() {
            return topic;
        }
    }

    /** Hears each record, and acknowledges it unless it is the refused one. */
    public static class Listener {
        @KafkaListener(topics = "#{ledger}")
        public void hear(ConsumerRecord<String, String> record, Acknowledgment acknowledgment) {
            HEARD.add(record.value());
            if (!record.value().equals(refused)) {
                acknowledgment.acknowledge();
            }
        }
    }
}
