import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/** Prints Kafka's error numbers, and its APIs with the versions of requests and of both headers. */
public class ProtocolTables {
    public static void main(String[] args) {
        for (Errors error : Errors.values()) {
            String retry = error.exception() instanceof RetriableException ? "retriable" : "final";
            System.out.println("error " + error.code() + " " + error.name() + " " + retry);
        }
        for (ApiKeys api : ApiKeys.values()) {
            for (int version = api.oldestVersion(); version <= api.latestVersion(); version++) {
                short v = (short) version;
                System.out.println("api " + api.id + " " + api.name + " " + v
                    + " " + api.requestHeaderVersion(v) + " " + api.responseHeaderVersion(v));
            }
        }
    }
}
