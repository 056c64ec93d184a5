// Asks Apache Kafka's own log when it begins a segment, and writes down the answers. See NOTE.md beside it.

import java.io.File;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.storage.internals.log.UnifiedLog;

public class RollOracle {
    static final long NOW = KafkaLog.NOW;

    final PrintStream out;
    final File dir;
    final Map<String, String> config;
    UnifiedLog log;

    RollOracle(PrintStream out, Map<String, String> config) throws Exception {
        this.out = out;
        this.config = config;
        dir = new File(Files.createTempDirectory("rolls").toFile(), "t-0");
        out.println("log\t" + config.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).sorted()
            .collect(Collectors.joining(",")));
        log = KafkaLog.open(dir, config, 0, 0, true, "delete-file");
    }

    /** Batches of one record, offsets and timestamps given. */
    void follow(long offset, long timestamp) throws Exception {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(ByteBuffer.allocate(512), RecordBatch.MAGIC_VALUE_V2,
            Compression.NONE, TimestampType.CREATE_TIME, offset, NOW, -1, (short) -1, -1, false, false, 0, 512);
        builder.append(new SimpleRecord(timestamp, null, "value".getBytes()));
        ByteBuffer bytes = builder.build().buffer();
        log.appendAsFollower(MemoryRecords.readableRecords(bytes), 0);
        out.println("follow\t" + offset + "\t" + timestamp + "\t" + bases());
    }

    void follow(long... offsetsAndTimestamps) throws Exception {
        for (int i = 0; i < offsetsAndTimestamps.length; i += 2) follow(offsetsAndTimestamps[i], offsetsAndTimestamps[i + 1]);
    }

    void reopen() throws Exception {
        long end = log.logEndOffset();
        log.flush(true);
        log.close();
        log = KafkaLog.open(dir, config, 0, end, true, "delete-file");
        out.println("reopen");
    }

    String bases() {
        return log.logSegments().stream().map(s -> Long.toString(s.baseOffset())).collect(Collectors.joining(","));
    }

    static Map<String, String> with(String... pairs) {
        Map<String, String> config = new HashMap<>();
        for (int i = 0; i < pairs.length; i += 2) config.put(pairs[i], pairs[i + 1]);
        return config;
    }

    public static void main(String[] args) throws Exception {
        try (PrintStream out = new PrintStream(Files.newOutputStream(Path.of(args[0], "rolls.tsv")))) {
            Map<String, String> aged = with("segment.ms", "1000");
            RollOracle byAge = new RollOracle(out, aged);
            byAge.follow(0, NOW, 1, NOW + 1000, 2, NOW + 1001, 3, NOW, 4, NOW + 2001, 5, NOW + 2002);
            RollOracle reopened = new RollOracle(out, aged);
            reopened.follow(0, NOW, 1, NOW + 500);
            reopened.reopen();
            reopened.follow(2, NOW + 1000, 3, NOW + 1001, 4, NOW + 1500);
            // Without times of records the clock counts, and it stands still.
            new RollOracle(out, aged).follow(0, -1, 1, -1, 2, NOW + 5000, 3, NOW + 9000);
            Map<String, String> indexed = with("segment.index.bytes", "24", "index.interval.bytes", "1");
            RollOracle byIndex = new RollOracle(out, indexed);
            for (int i = 0; i < 12; i++) byIndex.follow(i, NOW + i);
            byIndex.reopen();
            for (int i = 12; i < 20; i++) byIndex.follow(i, NOW + i);
            RollOracle ofOneTime = new RollOracle(out, indexed);
            for (int i = 0; i < 12; i++) ofOneTime.follow(i, NOW);
            long far = Integer.MAX_VALUE;
            new RollOracle(out, with()).follow(0, NOW, far, NOW, far + 1, NOW, 2 * far + 1, NOW, 2 * far + 2, NOW, 3 * far + 5, NOW);
            new RollOracle(out, with("internal.segment.bytes", "300")).follow(0, NOW, 1, NOW, 2, NOW, 3, NOW, 4, NOW, 5, NOW, 6, NOW, 7, NOW);
            Random random = new Random(Long.parseLong(args[1]));
            for (int round = 0; round < Integer.parseInt(args[2]); round++) {
                RollOracle any = new RollOracle(out, with("segment.ms", "1000", "internal.segment.bytes", "1000",
                    "segment.index.bytes", "48", "index.interval.bytes", "150"));
                long offset = 0, time = NOW;
                for (int i = 0; i < 40; i++) {
                    any.follow(offset, random.nextInt(8) == 0 ? -1 : time);
                    offset += random.nextInt(12) == 0 ? far - random.nextInt(3) : 1 + random.nextInt(2);
                    time += random.nextInt(6) == 0 ? 700 : random.nextInt(100) - 20;
                    if (random.nextInt(15) == 0) any.reopen();
                }
            }
        }
    }
}
