import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;

/** Name and type of every broker key, a line each, in alphabetical order. */
public final class BrokerKeys {
    public static void main(String[] arguments) {
        for (ConfigDef.ConfigKey key : new TreeMap<>(AbstractKafkaConfig.CONFIG_DEF.configKeys()).values()) {
            System.out.println(key.name + " " + key.type.name().toLowerCase());
        }
    }
}
