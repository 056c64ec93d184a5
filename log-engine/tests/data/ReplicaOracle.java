// Asks Apache Kafka's own log what a replica asks of it, and writes down the answers. See NOTE.md beside it.

import java.io.File;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Collectors;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.storage.internals.log.LogAppendInfo;
import org.apache.kafka.storage.internals.log.LogStartOffsetIncrementReason;
import org.apache.kafka.storage.internals.log.UnifiedLog;

public class ReplicaOracle {
    static final long NOW = KafkaLog.NOW;
    static final HexFormat HEX = HexFormat.of();

    final PrintStream out;
    final Random random;
    final File dir;
    UnifiedLog log;
    int epoch;
    int sequence;

    ReplicaOracle(PrintStream out, File dir, Random random) {
        this.out = out;
        this.dir = dir;
        this.random = random;
    }

    void open(long logStart, long recoveryPoint) throws Exception {
        Map<String, String> config = Map.of("internal.segment.bytes", "700", "index.interval.bytes", "150");
        log = KafkaLog.open(dir, config, logStart, recoveryPoint, true, "delete-file", "leader-epoch-cache");
    }

    boolean chance(int of) {
        return random.nextInt(of) == 0;
    }

    void step(int at) throws Exception {
        switch (random.nextInt(20)) {
            case 0, 1, 2, 3, 4, 5, 6, 7, 8 -> follow(at);
            case 9, 10 -> lead(at);
            case 11 -> { epoch++; log.assignEpochStartOffset(epoch, log.logEndOffset()); out.println("begin\t" + epoch); }
            case 12, 13 -> truncate();
            case 14 -> { if (chance(3)) startOver(); else truncate(); }
            case 15, 16 -> {
                long to = Math.max(log.highWatermark(), log.logEndOffset() - random.nextInt(3));
                out.println("watermark\t" + to);
                log.updateHighWatermark(to);
            }
            case 17 -> {
                long to = log.logStartOffset() + random.nextInt(8);
                if (to <= log.highWatermark()) {
                    out.println("start\t" + to);
                    log.maybeIncrementLogStartOffset(to, LogStartOffsetIncrementReason.ClientRecordDeletion);
                }
            }
            default -> { if (chance(3)) reopen(); else follow(at); }
        }
        state();
    }

    /** Batches as a leader sends them: mostly what follows, now and then with gaps, from the past, damaged or cut. */
    void follow(int at) {
        long next = log.logEndOffset() + (chance(6) ? random.nextInt(20) : 0) - (chance(15) ? 1 + random.nextInt(3) : 0);
        ByteBuffer all = ByteBuffer.allocate(4096);
        int batches = 1 + random.nextInt(3);
        int given = epoch;
        for (int number = 0; number < batches; number++) {
            if (chance(8)) given++;
            int its = chance(20) && given > 0 ? given - 1 : given;
            next = batch(all, Math.max(0, next), its, at);
            next += chance(10) ? random.nextInt(5) : 0;
            if (chance(25) && next > 20) next -= 10;
        }
        byte[] bytes = Arrays.copyOf(all.array(), all.position() - (chance(15) ? 5 : 0));
        if (chance(25)) bytes[bytes.length - 10] ^= 1;
        int leader = chance(6) ? epoch : given;
        String answer;
        try {
            LogAppendInfo info = log.appendAsFollower(MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)), leader);
            answer = "stored\t" + info.firstOffset() + "\t" + info.lastOffset();
            epoch = Math.max(epoch, log.latestEpoch().orElse(epoch));
        } catch (Throwable t) {
            answer = t.getClass().getSimpleName() + "\t-\t-";
        }
        out.println("follow\t" + leader + "\t" + HEX.formatHex(bytes) + "\t" + answer);
    }

    /** One batch; sometimes one that compaction was at, which has fewer records than offsets. Answers what is behind it. */
    long batch(ByteBuffer to, long base, int its, int at) {
        int count = 1 + random.nextInt(4);
        boolean idempotent = chance(3);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(ByteBuffer.allocate(512), RecordBatch.MAGIC_VALUE_V2,
            chance(4) ? Compression.lz4().build() : Compression.NONE, TimestampType.CREATE_TIME, base, NOW,
            idempotent ? 1 + random.nextInt(2) : -1, (short) (idempotent ? 0 : -1), idempotent ? sequence : -1, false, false,
            its, 512);
        boolean thinned = chance(6);
        for (int i = 0; i < count; i++) {
            if (thinned && i > 0 && i < count - 1) continue;
            builder.appendWithOffset(base + i, new SimpleRecord(NOW + at, null, "value".getBytes()));
        }
        if (idempotent) sequence += count;
        to.put(builder.build().buffer());
        return base + count;
    }

    void lead(int at) {
        int count = 1 + random.nextInt(3);
        SimpleRecord[] records = new SimpleRecord[count];
        Arrays.fill(records, new SimpleRecord(NOW + at, null, "value".getBytes()));
        LogAppendInfo info;
        try {
            info = log.appendAsLeader(MemoryRecords.withRecords(Compression.NONE, records), epoch);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        out.println("lead\t" + epoch + "\t" + count + "\t" + (NOW + at) + "\t" + info.firstOffset() + "\t" + info.lastOffset());
    }

    void truncate() throws Exception {
        long to = Math.max(0, log.logEndOffset() + 2 - random.nextInt(chance(4) ? 60 : 14));
        out.println("truncate\t" + to + "\t" + log.truncateTo(to));
    }

    void startOver() throws Exception {
        long to = Math.max(0, log.logEndOffset() + random.nextInt(40) - 20);
        out.println("over\t" + to);
        log.truncateFullyAndStartAt(to, Optional.empty());
    }

    void reopen() throws Exception {
        long start = log.logStartOffset();
        log.close();
        open(start, log.recoveryPoint());
        log.updateHighWatermark(log.logEndOffset());
        out.println("reopen");
    }

    void state() {
        StringBuilder ends = new StringBuilder();
        for (int asked = -1; asked <= epoch + 1; asked++) {
            String found = log.endOffsetForEpoch(asked).map(end -> end.epoch() + ":" + end.offset()).orElse("-");
            ends.append(asked < 0 ? "" : ",").append(found);
        }
        String segments = log.logSegments().stream().map(s -> s.baseOffset() + ":" + s.size()).collect(Collectors.joining(","));
        String producers = new TreeMap<>(log.activeProducersWithLastSequence()).entrySet().stream()
            .map(entry -> entry.getKey() + ":" + entry.getValue()).collect(Collectors.joining(","));
        out.println("state\t" + log.logStartOffset() + "\t" + log.highWatermark() + "\t" + log.logEndOffset() + "\t"
            + log.latestEpoch().map(Object::toString).orElse("-") + "\t" + ends + "\t" + segments + "\t" + producers);
    }

    void files() throws Exception {
        for (File file : Arrays.stream(dir.listFiles()).sorted().toList()) {
            String name = file.getName();
            if (!name.endsWith(".log") && !name.endsWith(".index") && !name.equals("leader-epoch-checkpoint")) continue;
            out.println("file\t" + name + "\t" + HEX.formatHex(Files.readAllBytes(file.toPath())));
        }
    }

    void round() throws Exception {
        out.println("round");
        open(0, 0);
        int steps = 30 + random.nextInt(30);
        for (int at = 0; at < steps; at++) step(at);
        log.close();
        out.println("close");
        files();
    }

    public static void main(String[] args) throws Exception {
        int rounds = Integer.parseInt(args[1]);
        Random random = new Random(Long.parseLong(args[2]));
        File parent = Files.createTempDirectory("oracle").toFile();
        try (PrintStream out = new PrintStream(new File(args[0], "replicas.tsv"))) {
            for (int round = 0; round < rounds; round++)
                new ReplicaOracle(out, new File(parent, "round" + round + "/t-0"), random).round();
        }
        try (var paths = Files.walk(parent.toPath())) {
            paths.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
        System.exit(0);
    }
}
