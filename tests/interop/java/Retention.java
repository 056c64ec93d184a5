import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * What Kafka's retention deletes of partition directories, many in one virtual machine, with the clock where the request
 * says.
 *
 * Each line of standard input is a partition's directory, the time in milliseconds, the log's start, its high watermark and
 * configurations as key=value, all separated by tabs. The log is opened as after a clean stop, and old segments are deleted
 * once. Each line of standard output is how many were deleted, where the log starts then and where each segment does.
 */
public class Retention {
    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] request = line.split("\t");
            Map<String, String> config = new HashMap<>();
            for (int i = 4; i < request.length; i++) {
                String[] pair = request[i].split("=", 2);
                config.put(pair[0], pair[1]);
            }
            retain(new File(request[0]), Long.parseLong(request[1]), Long.parseLong(request[2]),
                Long.parseLong(request[3]), new LogConfig(config), scheduler);
        }
        scheduler.shutdown();
    }

    private static void retain(
        File directory, long now, long logStart, long highWatermark, LogConfig config, KafkaScheduler scheduler
    ) throws Exception {
        Time time = Cleaning.standingAt(now);
        try (BrokerTopicStats stats = new BrokerTopicStats();
             UnifiedLog log = UnifiedLog.create(directory, config, logStart, Long.MAX_VALUE, scheduler, stats, time, 300000,
                 new ProducerStateManagerConfig(86400000, false), 600000, new LogDirFailureChannel(1), true,
                 Optional.<Uuid>empty())) {
            log.updateHighWatermark(highWatermark);
            int deleted = log.deleteOldSegments();
            String bases = log.logSegments().stream()
                .map(segment -> Long.toString(segment.baseOffset())).collect(Collectors.joining(","));
            System.out.println(deleted + "\t" + log.logStartOffset() + "\t" + bases);
            System.out.flush();
        }
    }
}
