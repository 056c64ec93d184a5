import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;

/** Moves every replica of a topic to the broker's other data directory, and says what the admin client sees. */
public final class LogDirs {
    private static final int BROKER = 1;

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            Map<TopicPartition, String> places = places(admin, topic);
            System.out.println(counts(places));
            Map<TopicPartitionReplica, String> moves = new HashMap<>();
            for (Map.Entry<TopicPartition, String> place : places.entrySet()) {
                moves.put(replica(topic, place.getKey().partition()), other(admin, place.getValue()));
            }
            admin.alterReplicaLogDirs(moves).all().get();
            for (int turn = 0; turn < 600 && !arrived(admin, moves); turn++) {
                Thread.sleep(100);
            }
            Map<TopicPartition, String> after = places(admin, topic);
            boolean all = places.entrySet().stream().noneMatch(place -> place.getValue().equals(after.get(place.getKey())));
            System.out.println(all ? "all are in the other one" : "they are still " + after);
            System.out.println(counts(after));
            refused(admin, replica(topic, 0), "/nowhere");
            refused(admin, replica("unknown", 0), after.values().iterator().next());
        }
    }

    private static TopicPartitionReplica replica(String topic, int partition) {
        return new TopicPartitionReplica(topic, partition, BROKER);
    }

    private static Map<String, LogDirDescription> describe(Admin admin) throws Exception {
        Map<String, LogDirDescription> found = admin.describeLogDirs(List.of(BROKER)).allDescriptions().get().get(BROKER);
        for (LogDirDescription directory : found.values()) {
            if (directory.error() != null || directory.totalBytes().isEmpty() || directory.usableBytes().isEmpty()) {
                System.out.println("incomplete: " + directory);
            }
        }
        return found;
    }

    private static Map<TopicPartition, String> places(Admin admin, String topic) throws Exception {
        Map<TopicPartition, String> places = new HashMap<>();
        describe(admin).forEach((directory, description) -> description.replicaInfos().forEach((partition, replica) -> {
            if (partition.topic().equals(topic) && !replica.isFuture()) {
                places.put(partition, directory);
                if (replica.size() <= 0 || replica.offsetLag() != 0) {
                    System.out.println("strange: " + replica);
                }
            }
        }));
        return places;
    }

    private static String counts(Map<TopicPartition, String> places) {
        Map<String, Integer> counts = new TreeMap<>();
        places.values().forEach(directory -> counts.merge(directory, 1, Integer::sum));
        return "replicas in each: " + counts.values();
    }

    private static String other(Admin admin, String directory) throws Exception {
        return describe(admin).keySet().stream().filter(found -> !found.equals(directory)).findFirst().orElseThrow();
    }

    private static boolean arrived(Admin admin, Map<TopicPartitionReplica, String> moves) throws Exception {
        var found = admin.describeReplicaLogDirs(moves.keySet()).all().get();
        return found.entrySet().stream().allMatch(replica ->
            replica.getValue().getFutureReplicaLogDir() == null
                && moves.get(replica.getKey()).equals(replica.getValue().getCurrentReplicaLogDir()));
    }

    private static void refused(Admin admin, TopicPartitionReplica replica, String directory) throws Exception {
        try {
            admin.alterReplicaLogDirs(Map.of(replica, directory)).all().get();
            System.out.println("taken");
        } catch (ExecutionException refusal) {
            System.out.println(refusal.getCause().getClass().getSimpleName());
        }
    }
}
