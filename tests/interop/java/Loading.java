import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * What Kafka makes of partition directories when it loads them, many in one virtual machine.
 *
 * Each line of standard input is a partition's directory, the time in milliseconds, the log's start, its recovery point,
 * whether it was stopped cleanly, the segment size and the index interval, all separated by tabs. The log is loaded and
 * closed. Each line of standard output is where the log starts, where it ends, where readers of committed records stop once
 * all is committed, and where each epoch from 0 on ends; or the name of the exception.
 */
public class Loading {
    private static final int EPOCHS = 12;

    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                load(line.split("\t"), scheduler);
            } catch (Exception e) {
                System.out.println(e.getClass().getSimpleName());
            }
            System.out.flush();
        }
        scheduler.shutdown();
    }

    private static void load(String[] request, KafkaScheduler scheduler) throws Exception {
        LogConfig config = new LogConfig(Map.of("internal.segment.bytes", request[5], "index.interval.bytes", request[6]));
        try (BrokerTopicStats stats = new BrokerTopicStats();
             UnifiedLog log = UnifiedLog.create(new File(request[0]), config, Long.parseLong(request[2]),
                 Long.parseLong(request[3]), scheduler, stats, Cleaning.standingAt(Long.parseLong(request[1])), 300000,
                 new ProducerStateManagerConfig(86400000, false), 600000, new LogDirFailureChannel(1),
                 Boolean.parseBoolean(request[4]), Optional.<Uuid>empty())) {
            log.updateHighWatermark(log.logEndOffset());
            StringBuilder told = new StringBuilder();
            told.append(log.logStartOffset()).append('\t').append(log.logEndOffset()).append('\t').append(log.lastStableOffset());
            for (int epoch = 0; epoch < EPOCHS; epoch++) {
                told.append(epoch == 0 ? '\t' : ',');
                told.append(log.endOffsetForEpoch(epoch).map(end -> end.epoch() + ":" + end.offset()).orElse("-"));
            }
            System.out.println(told);
        }
    }
}
