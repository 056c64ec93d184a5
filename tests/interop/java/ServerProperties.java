import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Properties;
import kafka.server.KafkaConfig;

/**
 * What Kafka says of a server.properties. Reads lines of key=value, each of which is put into the configuration of one
 * combined node; prints the line and `accepted`, or the message of the exception with which Kafka would not start.
 */
public final class ServerProperties {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            int equals = line.indexOf('=');
            System.out.println(line + ": " + verdict(line.substring(0, equals), line.substring(equals + 1)));
        }
    }

    private static String verdict(String key, String value) {
        Properties properties = new Properties();
        properties.put("process.roles", "broker,controller");
        properties.put("node.id", "1");
        properties.put("controller.quorum.bootstrap.servers", "127.0.0.1:9093");
        properties.put("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093");
        properties.put("controller.listener.names", "CONTROLLER");
        properties.put(key, value);
        try {
            KafkaConfig.fromProps(properties, false);
            return "accepted";
        } catch (Exception refusal) {
            return refusal.getMessage();
        }
    }
}
