// Asks Apache Kafka's own log what it does with batches, and writes down the answers. See NOTE.md beside it.

import java.io.File;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.zip.CRC32C;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.requests.ProduceResponse;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.storage.log.FetchIsolation;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogAppendInfo;
import org.apache.kafka.storage.internals.log.RecordValidationException;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.log.VerificationGuard;

public class AppendOracle {
    static final long NOW = KafkaLog.NOW;
    static final long START = 100;
    static final int EPOCH = 3;
    static final HexFormat HEX = HexFormat.of();

    static UnifiedLog open(File parent, String name, Map<String, String> config) throws Exception {
        return KafkaLog.open(new File(parent, name + "/t-0"), config, 0, 0, false, "delete-file");
    }

    // ---- answers to single appends ------------------------------------------------------------------------------

    static PrintStream out;
    static Map<String, UnifiedLog> logs = new LinkedHashMap<>();

    static void ask(String name, String rules, byte[] batch) throws Exception {
        UnifiedLog log = logs.get(rules);
        log.truncateFullyAndStartAt(START, Optional.empty());
        String errors = "";
        String stored = "";
        short code = 0;
        try {
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(batch.clone()));
            ProduceRequest.validateRecords((short) 9, records);
            log.appendAsLeader(records, EPOCH, AppendOrigin.CLIENT);
            FileRecords file = (FileRecords) log.read(START, Integer.MAX_VALUE, FetchIsolation.LOG_END, true).records;
            ByteBuffer bytes = ByteBuffer.allocate(file.sizeInBytes());
            file.readInto(bytes, 0);
            stored = HEX.formatHex(bytes.array(), 0, bytes.limit());
        } catch (RecordValidationException e) {
            code = Errors.forException(e.invalidException()).code();
            List<String> each = new ArrayList<>();
            for (ProduceResponse.RecordError error : e.recordErrors())
                each.add(error.batchIndex + ":" + error.message);
            errors = String.join("|", each);
        } catch (Throwable t) {
            code = Errors.forException(t).code();
        }
        out.println(name + "\t" + rules + "\t" + code + "\t" + errors + "\t" + HEX.formatHex(batch) + "\t" + stored);
    }

    record Shape(String name, long producerId, short epoch, int sequence, boolean transactional, boolean control,
                 TimestampType type, long baseOffset, Object[][] records) { }

    static Shape plain(String name, Object[]... records) {
        return new Shape(name, -1, (short) -1, -1, false, false, TimestampType.CREATE_TIME, 0, records);
    }

    static Object[] rec(long timestamp, String key, String value, Header... headers) {
        return new Object[] {timestamp, key, value, headers};
    }

    static byte[] build(Shape shape, Compression compression) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(64), RecordBatch.MAGIC_VALUE_V2,
            compression, shape.type, shape.baseOffset, NOW - 5, shape.producerId, shape.epoch, shape.sequence,
            shape.transactional, shape.control, -1);
        for (Object[] record : shape.records) {
            String key = (String) record[1], value = (String) record[2];
            if (shape.control)
                builder.appendEndTxnMarker((Long) record[0], new EndTransactionMarker(ControlRecordType.COMMIT, 1));
            else
                builder.append((Long) record[0], key == null ? null : key.getBytes(), value == null ? null : value.getBytes(),
                    (Header[]) record[3]);
        }
        return bytesOf(builder.build());
    }

    static byte[] bytesOf(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static List<Shape> shapes() {
        Header full = new RecordHeader("h", "v".getBytes()), empty = new RecordHeader("", (byte[]) null);
        List<Shape> shapes = new ArrayList<>(List.of(
            plain("one", rec(NOW, "k", "v")),
            plain("three", rec(NOW, "a", "1"), rec(NOW + 1, "b", "2"), rec(NOW + 2, "c", "3")),
            plain("nulls", rec(NOW, null, null), rec(NOW, "k", null), rec(NOW, null, "v")),
            plain("empties", rec(NOW, "", ""), rec(NOW, "", "")),
            plain("headers", rec(NOW, "k", "v", full, empty), rec(NOW, "l", "w", full)),
            plain("unordered", rec(NOW, "a", "1"), rec(NOW - 400, "b", "2"), rec(NOW + 300, "c", "3"), rec(NOW, "d", "4")),
            plain("untimed", rec(-1, "a", "1"), rec(-1, "b", "2")),
            plain("ancient", rec(0, "a", "1"), rec(NOW - 1001, "b", "2"), rec(NOW - 1000, "c", "3")),
            plain("future", rec(NOW + 500, "a", "1"), rec(NOW + 501, "b", "2"), rec(NOW + 3_600_001, null, "3")),
            plain("large", rec(NOW, "key", "0123456789".repeat(30)), rec(NOW, "key", "x")),
            new Shape("idempotent", 4000, (short) 2, 9, false, false, TimestampType.CREATE_TIME, 0,
                new Object[][] {rec(NOW, "a", "1"), rec(NOW, "b", "2")}),
            new Shape("transactional", 4001, (short) 0, 0, true, false, TimestampType.CREATE_TIME, 0,
                new Object[][] {rec(NOW, "a", "1")}),
            new Shape("offset", -1, (short) -1, -1, false, false, TimestampType.CREATE_TIME, 1,
                new Object[][] {rec(NOW, "a", "1")}),
            new Shape("appendtime", -1, (short) -1, -1, false, false, TimestampType.LOG_APPEND_TIME, 0,
                new Object[][] {rec(NOW, "a", "1"), rec(NOW, "b", "2")})));
        return shapes;
    }

    static void fixCrc(byte[] batch) {
        if (batch.length < 21) return;
        CRC32C crc = new CRC32C();
        crc.update(batch, 21, batch.length - 21);
        ByteBuffer.wrap(batch).putInt(17, (int) crc.getValue());
    }

    static byte[] with(byte[] batch, int at, int width, long value) {
        byte[] changed = batch.clone();
        ByteBuffer buffer = ByteBuffer.wrap(changed);
        if (width == 1) buffer.put(at, (byte) value);
        if (width == 2) buffer.putShort(at, (short) value);
        if (width == 4) buffer.putInt(at, (int) value);
        if (width == 8) buffer.putLong(at, value);
        if (at >= 21) fixCrc(changed);
        return changed;
    }

    static byte[] concat(byte[]... parts) {
        ByteBuffer all = ByteBuffer.allocate(Arrays.stream(parts).mapToInt(p -> p.length).sum());
        for (byte[] part : parts) all.put(part);
        return all.array();
    }

    static Compression of(CompressionType type) {
        return Compression.of(type).build();
    }

    static void askAll(int randomCases, long seed) throws Exception {
        for (CompressionType codec : CompressionType.values())
            for (Shape shape : shapes())
                for (String rules : logs.keySet())
                    // Every pair of codec and rules, and every shape with each, but not all products.
                    if (codec == CompressionType.NONE || codec == CompressionType.LZ4 || rules.equals("default")
                        || shape.name.equals("three") || shape.name.equals("headers"))
                        ask(shape.name + "-" + codec.name, rules, build(shape, of(codec)));

        Shape control = new Shape("control", 4003, (short) 0, -1, true, true, TimestampType.CREATE_TIME, 0,
            new Object[][] {rec(NOW, null, null)});
        ask("control", "default", build(control, Compression.NONE));

        Shape idempotent = shapes().get(10);
        for (long sequence : new long[] {-1, -2, Integer.MAX_VALUE})
            ask("sequence" + sequence, "default", with(build(idempotent, Compression.NONE), 53, 4, sequence));

        Shape three = shapes().get(1);
        for (CompressionType codec : List.of(CompressionType.NONE, CompressionType.GZIP, CompressionType.ZSTD)) {
            byte[] b = build(three, of(codec));
            String n = "-" + codec.name;
            ask("crc" + n, "default", with(b, 17, 4, 1));
            ask("epoch" + n, "default", with(b, 12, 4, 77));
            for (long magic : new long[] {-1, 0, 1, 3}) ask("magic" + magic + n, "default", with(b, 16, 1, magic));
            for (long len : new long[] {-1, 0, 13, 14, 48, 49, b.length - 13, b.length - 11, Integer.MAX_VALUE})
                ask("length" + len + n, "default", with(b, 8, 4, len));
            for (long attributes : new long[] {1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x20, 0x40, 0x80, 0x4000, -1})
                ask("attributes" + attributes + n, "default", with(b, 21, 2, attributes));
            for (long delta : new long[] {-1, 0, 1, 3, Integer.MAX_VALUE, Integer.MIN_VALUE})
                ask("delta" + delta + n, "default", with(b, 23, 4, delta));
            for (long base : new long[] {-1, 0, NOW + 3_700_000, Long.MAX_VALUE, Long.MIN_VALUE})
                ask("basetime" + base + n, "default", with(b, 27, 8, base));
            for (long max : new long[] {-1, 0, NOW + 3, Long.MAX_VALUE})
                for (String rules : List.of("default", "append-time"))
                    ask("maxtime" + max + n, rules, with(b, 35, 8, max));
            for (long id : new long[] {-2, 0, 5, Long.MAX_VALUE}) ask("id" + id + n, "default", with(b, 43, 8, id));
            for (long count : new long[] {-1, 0, 1, 2, 4, Integer.MAX_VALUE}) {
                ask("count" + count + n, "default", with(b, 57, 4, count));
                ask("countdelta" + count + n, "default", with(with(b, 57, 4, count), 23, 4, count - 1));
            }
            ask("two" + n, "default", concat(b, b));
            ask("tail" + n, "default", concat(b, Arrays.copyOf(b, 40)));
            ask("tailsmall" + n, "default", concat(b, new byte[12]));
            ask("tailmagic" + n, "default", concat(b, with(b, 16, 1, 9)));
            ask("nothing" + n, "default", new byte[0]);
            for (int cut : new int[] {5, 12, 16, 17, 60, 61, b.length - 1})
                ask("cut" + cut + n, "default", Arrays.copyOf(b, cut));
            byte[] longer = with(concat(b, new byte[] {0}), 8, 4, b.length - 11);
            fixCrc(longer);
            ask("bodylonger" + n, "default", longer);
            byte[] shorter = with(Arrays.copyOf(b, b.length - 1), 8, 4, b.length - 13);
            fixCrc(shorter);
            ask("bodyshorter" + n, "default", shorter);
        }
        gaps();
        Random random = new Random(seed);
        List<Shape> shapes = shapes();
        List<String> rules = List.of("default", "gzip", "uncompressed");
        for (int i = 0; i < randomCases; i++) {
            CompressionType codec = CompressionType.values()[random.nextInt(i % 2 == 0 ? 1 : 5)];
            Shape shape = shapes.get(random.nextInt(5));
            byte[] b = build(shape, of(codec));
            for (int flips = 1 + random.nextInt(2); flips > 0; flips--)
                b[61 + random.nextInt(b.length - 61)] = (byte) (random.nextBoolean() ? random.nextInt(256) : random.nextInt(4));
            fixCrc(b);
            ask("random" + i + "-" + codec.name, rules.get(random.nextInt(rules.size())), b);
        }
    }

    /** Offsets inside a batch that do not count up one by one. */
    static void gaps() throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            for (String rules : List.of("default", "gzip", "uncompressed", "append-time")) {
                MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(64), RecordBatch.MAGIC_VALUE_V2,
                    of(codec), TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, false, -1);
                for (long offset : new long[] {0, 2, 5})
                    builder.appendWithOffset(offset, NOW, "k".getBytes(), "v".getBytes(), new Header[0]);
                byte[] b = bytesOf(builder.build());
                ask("gap-" + codec.name, rules, b);
                ask("gapcounted-" + codec.name, rules, with(b, 23, 4, 2));
            }
        }
    }

    // ---- answers to sequences of appends ------------------------------------------------------------------------

    static void producers(PrintStream out, File parent, int rounds, long seed) throws Exception {
        UnifiedLog log = open(parent, "producers", Map.of());
        Random random = new Random(seed);
        for (int round = 0; round < rounds; round++) {
            log.truncateFullyAndStartAt(0, Optional.empty());
            out.println("round");
            int steps = 5 + random.nextInt(40);
            int[] next = new int[4];
            short[] epochs = new short[4];
            for (int i = 0; i < 4; i++) next[i] = random.nextInt(3) == 0 ? Integer.MAX_VALUE - random.nextInt(12) : 0;
            for (int step = 0; step < steps; step++) {
                int who = random.nextInt(4);
                long id = 1000L * (who + 1) + who;
                int kind = random.nextInt(20);
                if (kind == 0) { epochs[who]++; next[who] = random.nextInt(4) == 0 ? next[who] : 0; }
                short epoch = kind == 1 && epochs[who] > 0 ? (short) (epochs[who] - 1) : epochs[who];
                boolean marker = kind > 16;
                boolean abort = random.nextBoolean();
                int coordinator = random.nextInt(6) == 0 ? random.nextInt(4) : 2;
                boolean transactional = who > 1 && random.nextInt(12) != 0;
                int count = 1 + random.nextInt(5);
                int sequence = next[who];
                if (kind == 2) sequence = (sequence + random.nextInt(4)) & Integer.MAX_VALUE;
                if (kind >= 3 && kind <= 6) { count = 2; sequence = (sequence - 2 * random.nextInt(7)) & Integer.MAX_VALUE; }
                if (kind == 7) sequence = 0;
                if (kind >= 8 && kind <= 12) count = 2;
                short code = 0;
                String offsets = "-\t-";
                try {
                    if (marker) {
                        MemoryRecords records = MemoryRecords.withEndTransactionMarker(NOW + step, id, epoch,
                            new EndTransactionMarker(abort ? ControlRecordType.ABORT : ControlRecordType.COMMIT, coordinator));
                        log.appendAsLeader(records, EPOCH, AppendOrigin.COORDINATOR, RequestLocal.noCaching(),
                            VerificationGuard.SENTINEL, (short) 0);
                    } else {
                        Object[][] each = new Object[count][];
                        for (int i = 0; i < count; i++) each[i] = rec(NOW + step, null, "v");
                        byte[] batch = build(new Shape("", id, epoch, sequence, transactional, false,
                            TimestampType.CREATE_TIME, 0, each), Compression.NONE);
                        LogAppendInfo info = log.appendAsLeader(MemoryRecords.readableRecords(ByteBuffer.wrap(batch)),
                            EPOCH, AppendOrigin.CLIENT);
                        offsets = info.firstOffset() + "\t" + info.lastOffset();
                        next[who] = (sequence + count) & Integer.MAX_VALUE;
                    }
                } catch (Throwable t) {
                    code = Errors.forException(t).code();
                }
                out.println((marker ? (abort ? "abort" : "commit") : "append") + "\t" + id + "\t" + epoch + "\t" + sequence
                    + "\t" + count + "\t" + transactional + "\t" + coordinator + "\t" + (NOW + step) + "\t" + code + "\t" + offsets);
                if (random.nextInt(5) == 0) log.updateHighWatermark(log.logEndOffset());
                out.println("stable\t" + log.highWatermark() + "\t" + log.lastStableOffset());
            }
            log.producerStateManager().takeSnapshot();
            byte[] bytes = Files.readAllBytes(log.producerStateManager().fetchSnapshot(log.logEndOffset()).get().toPath());
            out.println("snapshot\t" + log.logEndOffset() + "\t" + HEX.formatHex(bytes));
        }
    }

    public static void main(String[] args) throws Exception {
        int randomCases = Integer.parseInt(args[1]);
        long seed = Long.parseLong(args[2]);
        File parent = Files.createTempDirectory("oracle").toFile();
        Map<String, Map<String, String>> rules = new LinkedHashMap<>();
        rules.put("default", Map.of());
        rules.put("append-time", Map.of("message.timestamp.type", "LogAppendTime"));
        rules.put("compacted", Map.of("cleanup.policy", "compact"));
        rules.put("bounded", Map.of("message.timestamp.before.max.ms", "1000", "message.timestamp.after.max.ms", "500"));
        rules.put("small", Map.of("max.message.bytes", "90"));
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd", "uncompressed"))
            rules.put(codec, Map.of("compression.type", codec));
        rules.put("gzip-append-time", Map.of("compression.type", "gzip", "message.timestamp.type", "LogAppendTime"));
        for (Map.Entry<String, Map<String, String>> entry : rules.entrySet())
            logs.put(entry.getKey(), open(parent, entry.getKey(), entry.getValue()));
        out = new PrintStream(new File(args[0], "appends.tsv"));
        askAll(randomCases, seed);
        out.close();
        try (PrintStream producers = new PrintStream(new File(args[0], "producers.tsv"))) {
            producers(producers, parent, Integer.parseInt(args[3]), seed);
        }
        try (var paths = Files.walk(parent.toPath())) {
            paths.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
        System.exit(0);
    }
}
