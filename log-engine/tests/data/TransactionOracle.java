// Asks Apache Kafka's own log about transactions in it, and writes down the answers. See NOTE.md beside it.

import java.io.File;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.storage.log.FetchIsolation;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.FetchDataInfo;
import org.apache.kafka.storage.internals.log.LogAppendInfo;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.log.VerificationGuard;

public class TransactionOracle {
    static final long NOW = KafkaLog.NOW;
    static final int EPOCH = 3;
    static final HexFormat HEX = HexFormat.of();
    static final int PRODUCERS = 4;

    final PrintStream out;
    final Random random;
    final File dir;
    UnifiedLog log;
    final int[] next = new int[PRODUCERS];
    final short[] epochs = new short[PRODUCERS];
    final VerificationGuard[] guards = new VerificationGuard[PRODUCERS];

    TransactionOracle(PrintStream out, File dir, Random random) {
        this.out = out;
        this.dir = dir;
        this.random = random;
        Arrays.fill(guards, VerificationGuard.SENTINEL);
    }

    void open() throws Exception {
        Map<String, String> config = Map.of("internal.segment.bytes", "1200", "index.interval.bytes", "100");
        log = KafkaLog.open(dir, config, 0, 0, true, "delete-file");
    }

    long id(int who) {
        return 1000L * (who + 1) + who;
    }

    /** Producers 0 and 1 follow the classic protocol, 2 and 3 that with an epoch per transaction. */
    boolean bumps(int who) {
        return who >= 2;
    }

    void step(int at) throws Exception {
        int who = random.nextInt(PRODUCERS);
        switch (random.nextInt(14)) {
            case 0 -> begin(who);
            case 1, 2 -> append(who, at);
            case 3, 4, 5, 6, 7 -> { begin(who); append(who, at); }
            case 8, 9, 10 -> end(who, at);
            case 11 -> { log.updateHighWatermark(log.logEndOffset()); out.println("watermark\t" + log.logEndOffset()); }
            case 12 -> read();
            default -> {
                if (random.nextInt(6) == 0) truncate(); else read();
            }
        }
        out.println("stable\t" + log.highWatermark() + "\t" + log.lastStableOffset());
    }

    void begin(int who) {
        int sequence = random.nextInt(10) == 0 ? next[who] + random.nextInt(3) : next[who];
        short epoch = random.nextInt(12) == 0 && epochs[who] > 0 ? (short) (epochs[who] - 1) : epochs[who];
        String answer;
        try {
            VerificationGuard guard = log.maybeStartTransactionVerification(id(who), sequence, epoch, bumps(who));
            answer = guard == VerificationGuard.SENTINEL ? "ongoing" : guard.equals(guards[who]) ? "same" : "guard";
            if (guard != VerificationGuard.SENTINEL) guards[who] = guard;
        } catch (ApiException e) {
            answer = "" + Errors.forException(e).code();
        }
        out.println("begin\t" + id(who) + "\t" + epoch + "\t" + sequence + "\t" + bumps(who) + "\t" + answer);
    }

    void append(int who, int at) {
        boolean transactional = random.nextInt(20) != 0;
        boolean guarded = random.nextInt(6) != 0;
        int sequence = random.nextInt(12) == 0 ? next[who] + random.nextInt(3) : next[who];
        short epoch = random.nextInt(15) == 0 && epochs[who] > 0 ? (short) (epochs[who] - 1) : epochs[who];
        int count = 1 + random.nextInt(4);
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(64), RecordBatch.MAGIC_VALUE_V2,
            Compression.NONE, TimestampType.CREATE_TIME, 0, NOW, id(who), epoch, sequence, transactional, false, -1);
        for (int i = 0; i < count; i++) builder.append(NOW + at, null, "value".getBytes());
        String answer;
        try {
            LogAppendInfo info = log.appendAsLeader(builder.build(), EPOCH, AppendOrigin.CLIENT, RequestLocal.noCaching(),
                guarded ? guards[who] : VerificationGuard.SENTINEL, (short) -1);
            answer = "0\t" + info.firstOffset() + "\t" + info.lastOffset();
            next[who] = sequence + count;
        } catch (Throwable t) {
            answer = Errors.forException(t).code() + "\t-\t-";
        }
        out.println("append\t" + id(who) + "\t" + epoch + "\t" + sequence + "\t" + count + "\t" + transactional + "\t" + guarded
            + "\t" + (NOW + at) + "\t" + answer);
    }

    void end(int who, int at) {
        boolean abort = random.nextInt(3) != 0;
        int coordinator = random.nextInt(8) == 0 ? random.nextInt(3) : 2;
        short epoch = epochs[who];
        if (bumps(who) && random.nextInt(8) != 0) epoch++;
        short version = (short) (bumps(who) ? 2 : 0);
        short code = 0;
        try {
            MemoryRecords records = MemoryRecords.withEndTransactionMarker(NOW + at, id(who), epoch,
                new EndTransactionMarker(abort ? ControlRecordType.ABORT : ControlRecordType.COMMIT, coordinator));
            log.appendAsLeader(records, EPOCH, AppendOrigin.COORDINATOR, RequestLocal.noCaching(),
                VerificationGuard.SENTINEL, version);
            if (epoch != epochs[who]) { epochs[who] = epoch; next[who] = 0; }
        } catch (Throwable t) {
            code = Errors.forException(t).code();
        }
        out.println((abort ? "abort" : "commit") + "\t" + id(who) + "\t" + epoch + "\t" + coordinator + "\t" + version + "\t"
            + (NOW + at) + "\t" + code);
    }

    void read() {
        long from = log.logEndOffset() == 0 ? 0 : random.nextLong(log.logEndOffset());
        int max = 1 + random.nextInt(2000);
        FetchDataInfo info;
        try {
            info = log.read(from, max, FetchIsolation.TXN_COMMITTED, true);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        String aborted = info.abortedTransactions.map(all -> all.stream()
            .map(t -> t.producerId() + ":" + t.firstOffset()).collect(Collectors.joining(","))).orElse("");
        out.println("read\t" + from + "\t" + max + "\t" + info.records.sizeInBytes() + "\t" + aborted);
    }

    void truncate() throws Exception {
        long to = Math.max(0, log.logEndOffset() - random.nextInt(12));
        log.truncateTo(to);
        out.println("truncate\t" + to);
    }

    void files() throws Exception {
        for (File file : Arrays.stream(dir.listFiles()).sorted().toList()) {
            if (!file.getName().endsWith(".txnindex") && !file.getName().endsWith(".snapshot")) continue;
            byte[] bytes = Files.readAllBytes(file.toPath());
            if (file.getName().endsWith(".txnindex") && bytes.length == 0) continue;
            out.println("file\t" + file.getName() + "\t" + HEX.formatHex(bytes));
        }
    }

    void round() throws Exception {
        out.println("round");
        open();
        int steps = 40 + random.nextInt(80);
        for (int at = 0; at < steps; at++) step(at);
        log.updateHighWatermark(log.logEndOffset());
        out.println("watermark\t" + log.logEndOffset());
        for (int reads = 0; reads < 6; reads++) read();
        log.close();
        out.println("close");
        files();
        open();
        log.updateHighWatermark(log.logEndOffset());
        out.println("reopen\t" + log.logEndOffset() + "\t" + log.lastStableOffset());
        for (int reads = 0; reads < 3; reads++) read();
        log.close();
    }

    public static void main(String[] args) throws Exception {
        int rounds = Integer.parseInt(args[1]);
        Random random = new Random(Long.parseLong(args[2]));
        File parent = Files.createTempDirectory("oracle").toFile();
        try (PrintStream out = new PrintStream(new File(args[0], "transactions.tsv"))) {
            for (int round = 0; round < rounds; round++)
                new TransactionOracle(out, new File(parent, "round" + round + "/t-0"), random).round();
        }
        try (var paths = Files.walk(parent.toPath())) {
            paths.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
        System.exit(0);
    }
}
