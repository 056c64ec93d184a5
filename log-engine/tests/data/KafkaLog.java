// Kafka's own log as the oracles beside it open it: the clock stands still, and no background work belongs to an answer.

import java.io.File;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.Scheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

final class KafkaLog {
    static final long NOW = 1_700_000_000_000L;

    private static final Time CLOCK = new Time() {
        public long milliseconds() { return NOW; }
        public long nanoseconds() { return NOW * 1_000_000; }
        public void sleep(long ms) { }
        public void waitObject(Object o, Supplier<Boolean> c, long d) { }
    };

    private static final ScheduledExecutorService NEVER = Executors.newSingleThreadScheduledExecutor(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });

    private KafkaLog() { }

    /** Opens the log in dir. Work whose name begins with one of atOnce is done at once, and nothing else runs. */
    static UnifiedLog open(File dir, Map<String, String> config, long logStart, long recoveryPoint, boolean verifies,
            String... atOnce) throws Exception {
        dir.mkdirs();
        return UnifiedLog.create(dir, new LogConfig(config), logStart, recoveryPoint, idle(atOnce), new BrokerTopicStats(),
            CLOCK, 900_000, new ProducerStateManagerConfig(86_400_000, verifies), 600_000, new LogDirFailureChannel(1), true,
            Optional.empty());
    }

    private static Scheduler idle(String[] atOnce) {
        return new Scheduler() {
            public void startup() { }
            public void shutdown() { }
            public ScheduledFuture<?> schedule(String name, Runnable work, long delay, long period) {
                if (Arrays.stream(atOnce).anyMatch(name::startsWith)) work.run();
                return NEVER.schedule(() -> { }, 1, TimeUnit.DAYS);
            }
            public void resizeThreadPool(int n) { }
        };
    }
}
