import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupMemberMetadataValue;

/**
 * Prints what Kafka's own message classes make of values made up from their schemas, one line a message:
 * name, kind of sample, version, bytes in hexadecimal, and for internal records the JSON that Kafka makes of them.
 *
 * <p>Arguments: the seed, the directory with the schemas of package wire.
 */
public class MessageBytes {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.", "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.", "org.apache.kafka.raft.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
    };

    private static Random random;
    private static boolean full;
    private static final PrintStream OUT = System.out;

    public static void main(String[] args) throws Exception {
        random = new Random(Long.parseLong(args[0]));
        Path schemas = Path.of(args[1]);
        for (String line : Files.readAllLines(schemas.resolve("expanded.list"))) {
            if (!line.startsWith("#") && !line.isBlank()) {
                printFile(schemas.resolve("api").resolve(line.strip() + ".schema"));
            }
        }
        List<Path> records = new ArrayList<>(Files.list(schemas.resolve("records")).sorted().toList());
        records.add(schemas.resolve("headers.schema"));
        for (Path file : records) {
            printFile(file);
        }
    }

    private static void printFile(Path schemaFile) throws Exception {
        for (String line : Files.readAllLines(schemaFile)) {
            if (!line.isEmpty() && line.charAt(0) != ' ') {
                String[] words = line.split(" ");
                boolean isApi = words[0].equals("request") || words[0].equals("response");
                String suffix = isApi || words[0].equals("header") ? "Data" : "";
                printMessage(words[1], classOf(words[1] + suffix), !isApi);
            }
        }
    }

    private static Class<?> classOf(String name) throws ClassNotFoundException {
        for (String prefix : PACKAGES) {
            try {
                return Class.forName(prefix + name);
            } catch (ClassNotFoundException elsewhere) {
                continue;
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static void printMessage(String name, Class<?> type, boolean withJson) throws Exception {
        short lowest = (Short) type.getField("LOWEST_SUPPORTED_VERSION").get(null);
        short highest = (Short) type.getField("HIGHEST_SUPPORTED_VERSION").get(null);
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        for (short version = lowest; version <= highest; version++) {
            print(name, "default", (Message) type.getConstructor().newInstance(), version, withJson);
            for (String kind : List.of("full", "sparse")) {
                full = kind.equals("full");
                print(name, kind, parse(type, make(schemas[version]), version), version, withJson);
            }
        }
    }

    private static Message parse(Class<?> type, ByteBuffer bytes, short version) throws Exception {
        Message message = (Message) type.getConstructor().newInstance();
        if (message instanceof ConsumerGroupMemberMetadataValue) {
            return withClassicMember((ConsumerGroupMemberMetadataValue) message);
        }
        message.read(new ByteBufferAccessor(bytes), version);
        return message;
    }

    /** The generic schema of this one message lacks the byte that says whether its tagged struct is null. */
    private static Message withClassicMember(ConsumerGroupMemberMetadataValue message) {
        ConsumerGroupMemberMetadataValue.ClassicProtocol protocol = new ConsumerGroupMemberMetadataValue.ClassicProtocol();
        protocol.setName(text()).setMetadata(text().getBytes());
        ConsumerGroupMemberMetadataValue.ClassicMemberMetadata classic =
            new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata();
        classic.setSessionTimeoutMs(random.nextInt()).setSupportedProtocols(List.of(protocol));
        return message.setClientId(text()).setClassicMemberMetadata(full ? classic : null);
    }

    private static void print(String name, String kind, Message message, short version, boolean withJson)
            throws Exception {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        String json = "";
        if (withJson) {
            Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
            Object tree = converter.getMethod("write", message.getClass(), short.class).invoke(null, message, version);
            json = " " + tree;
        }
        OUT.println(name + " " + kind + " " + version + " " + HexFormat.of().formatHex(buffer.array()) + json);
    }

    private static ByteBuffer make(Schema schema) {
        Struct struct = struct(schema);
        ByteBuffer buffer = ByteBuffer.allocate(struct.sizeOf());
        struct.writeTo(buffer);
        buffer.flip();
        return buffer;
    }

    private static Struct struct(Schema schema) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(field.def.type));
        }
        return struct;
    }

    private static Object value(Type type) {
        if (type.isNullable() && !full && random.nextBoolean()) {
            return null;
        }
        if (type instanceof TaggedFields) {
            return taggedFields((TaggedFields) type);
        }
        if (type.arrayElementType().isPresent()) {
            Object[] elements = new Object[full ? 2 : random.nextInt(2)];
            for (int i = 0; i < elements.length; i++) {
                elements[i] = value(type.arrayElementType().get());
            }
            return elements;
        }
        if (type instanceof Schema) {
            return struct((Schema) type);
        }
        return scalar(type.toString());
    }

    private static Object scalar(String type) {
        switch (type.replace("COMPACT_", "").replace("NULLABLE_", "")) {
            case "BOOLEAN": return full || random.nextBoolean();
            case "INT8": return (byte) random.nextInt();
            case "INT16": return (short) random.nextInt();
            case "UINT16": return random.nextInt(65536);
            case "INT32": return random.nextInt();
            case "UINT32": return random.nextInt() & 0xffffffffL;
            case "INT64": return random.nextLong();
            case "FLOAT64": return random.nextInt(1000) / 8.0;
            case "UUID": return new Uuid(random.nextLong(), random.nextLong());
            case "STRING": return text();
            case "BYTES": return ByteBuffer.wrap(text().getBytes());
            case "RECORDS": return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(7L, text().getBytes()));
            default: throw new IllegalArgumentException(type);
        }
    }

    private static String text() {
        StringBuilder text = new StringBuilder();
        for (int length = full ? 3 : random.nextInt(3); length > 0; length--) {
            text.append(random.nextInt(8) == 0 ? "\u00e4\u20ac\"\\\n".charAt(random.nextInt(5)) : (char) ('a' + random.nextInt(26)));
        }
        return text.toString();
    }

    private static TreeMap<Integer, Object> taggedFields(TaggedFields type) {
        TreeMap<Integer, Object> fields = new TreeMap<>();
        for (Map.Entry<Integer, org.apache.kafka.common.protocol.types.Field> entry : type.fields().entrySet()) {
            if (full || random.nextInt(3) == 0) {
                fields.put(entry.getKey(), value(entry.getValue().type));
            }
        }
        if (!full && random.nextInt(4) == 0) {
            int tag = 20 + random.nextInt(200);
            fields.put(tag, new RawTaggedField(tag, text().getBytes()));
        }
        return fields;
    }
}
