import java.util.Random;
import org.apache.kafka.common.metrics.MetricConfig;
import org.apache.kafka.common.metrics.Quota;
import org.apache.kafka.common.metrics.stats.Rate;

/**
 * What Kafka's rates say of made-up events: for each configuration a line with the number of windows, their length and the
 * bound, then one line for each event with its time, its amount, the rate, and for how long a client is made to wait.
 */
public final class Rates {
    private Rates() {}

    public static void main(String[] arguments) {
        Random random = new Random(1);
        long[][] configurations = {{11, 1000, 1000}, {1, 1000, 50}, {2, 500, 7}, {5, 2000, 100000}};
        for (long[] configuration : configurations) {
            run(random, (int) configuration[0], configuration[1], configuration[2]);
        }
    }

    private static void run(Random random, int samples, long windowMs, long bound) {
        MetricConfig config = new MetricConfig().samples(samples);
        config.timeWindow(windowMs, java.util.concurrent.TimeUnit.MILLISECONDS);
        config.quota(Quota.upperBound(bound));
        Rate rate = new Rate();
        System.out.println(samples + " " + windowMs + " " + bound);
        long now = 1 + random.nextInt(5000);
        for (int event = 0; event < 400; event++) {
            double amount = random.nextInt((int) bound * 3);
            rate.record(config, amount, now);
            double told = rate.measure(config, now);
            long wait = told > bound
                ? Math.round((told - bound) / bound * rate.windowSize(config, now))
                : 0;
            System.out.println(now + " " + amount + " " + told + " " + wait);
            boolean pause = random.nextInt(20) == 0;
            now += pause ? random.nextInt((int) (windowMs * (samples + 2))) : random.nextInt(400);
        }
    }
}
