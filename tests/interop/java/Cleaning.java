import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.CleanerStats;
import org.apache.kafka.storage.internals.log.LogCleanerManager;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Kafka's own cleaner on partition directories, many in one virtual machine, with the clock where the request says.
 *
 * Each line of standard input is a partition's directory, the time in milliseconds, the offset up to which it was cleaned
 * (or -1), bytes for the offset map, the log's start, and configurations as key=value, all separated by tabs. The log is opened as a broker
 * would open it after a clean stop, its high watermark is set to its end, it is cleaned and closed. Each line of standard
 * output is the offset up to which it is cleaned now, the log's end, the bytes that were read for keys and records, and the
 * processor nanoseconds that the process spent from opening's end to cleaning's end.
 */
public class Cleaning {
    private static final int IO_BUFFER = 262144;
    private static final double LOAD_FACTOR = 0.9;

    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] request = line.split("\t");
            Map<String, String> config = new HashMap<>();
            for (int i = 5; i < request.length; i++) {
                String[] pair = request[i].split("=", 2);
                config.put(pair[0], pair[1]);
            }
            clean(new File(request[0]), Long.parseLong(request[1]), Long.parseLong(request[2]),
                Integer.parseInt(request[3]), Long.parseLong(request[4]), new LogConfig(config), scheduler);
        }
        scheduler.shutdown();
    }

    private static void clean(
        File directory, long now, long cleanedTo, int mapBytes, long logStart, LogConfig config,
        KafkaScheduler scheduler
    ) throws Exception {
        Time time = standingAt(now);
        try (BrokerTopicStats stats = new BrokerTopicStats();
             UnifiedLog log = UnifiedLog.create(directory, config, logStart, Long.MAX_VALUE, scheduler, stats, time, 300000,
                 new ProducerStateManagerConfig(86400000, false), 600000, new LogDirFailureChannel(1), true,
                 Optional.<Uuid>empty())) {
            log.updateHighWatermark(log.logEndOffset());
            Optional<Long> lastClean = cleanedTo < 0 ? Optional.empty() : Optional.of(cleanedTo);
            long[] offsets = cleanableOffsets(log, lastClean, now);
            LogToClean toClean = new LogToClean(log, offsets[0], offsets[1], false);
            Throttler throttler = new Throttler(Double.MAX_VALUE, 300, "cleaner", "bytes", Time.SYSTEM);
            Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(mapBytes), IO_BUFFER, Integer.MAX_VALUE, LOAD_FACTOR,
                throttler, time, partition -> { });
            long before = cpuNanos();
            long end = offsets[0];
            long bytes = 0;
            if (toClean.cleanableBytes() > 0) {
                Map.Entry<Long, CleanerStats> cleaned = cleaner.clean(toClean);
                end = cleaned.getKey();
                bytes = cleaned.getValue().bytesRead();
            }
            System.out.println(end + "\t" + log.logEndOffset() + "\t" + bytes + "\t" + (cpuNanos() - before));
            System.out.flush();
        }
    }

    // Not public: the first dirty offset, and the first that cannot be cleaned.
    private static long[] cleanableOffsets(UnifiedLog log, Optional<Long> lastClean, long now) throws Exception {
        Method method = LogCleanerManager.class.getDeclaredMethod(
            "cleanableOffsets", UnifiedLog.class, Optional.class, long.class);
        method.setAccessible(true);
        Object offsets = method.invoke(null, log, lastClean, now);
        long[] found = new long[2];
        String[] names = {"firstDirtyOffset", "firstUncleanableDirtyOffset"};
        for (int i = 0; i < names.length; i++) {
            Method accessor = offsets.getClass().getDeclaredMethod(names[i]);
            accessor.setAccessible(true);
            found[i] = (Long) accessor.invoke(offsets);
        }
        return found;
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime();
    }

    // The system's clock in everything but the time of day.
    static Time standingAt(long now) {
        InvocationHandler handler = (proxy, method, arguments) ->
            method.getName().equals("milliseconds") ? (Object) now : invoke(method, arguments);
        return (Time) Proxy.newProxyInstance(Time.class.getClassLoader(), new Class<?>[] {Time.class}, handler);
    }

    private static Object invoke(Method method, Object[] arguments) throws Throwable {
        try {
            return method.invoke(Time.SYSTEM, arguments);
        } catch (java.lang.reflect.InvocationTargetException failure) {
            throw failure.getCause();
        }
    }
}
