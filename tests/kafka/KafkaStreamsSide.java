// Kafka Streams doing what Millstream does in the tests on Kafka: the workloads of the comparison, and the pipeline of the fault campaign.
//
//   KafkaStreamsSide WORKLOAD BOOTSTRAP APPLICATION STATE_DIR THREADS UNTIL [INPUTS]
//
// WORKLOAD  count: bids by key in windows of 10 s; join: bids with the table of bidders; both from topics INPUTS-bids and INPUTS-bidders to
//           APPLICATION-out; totals: numbers counted and summed by another key, to `totals` (see the fault campaign)
// UNTIL     a number of records to process, or `stopped`: by SIGTERM
//
// Exactly once, the streams group protocol, every other setting as it comes. At the end it prints what it took as one JSON object.

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;

public final class KafkaStreamsSide {
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final int GROUPS = 64;

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[4]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.GROUP_PROTOCOL_CONFIG, "streams");
        config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

        StreamsBuilder builder = new StreamsBuilder();
        switch (args[0]) {
            case "count" -> count(builder, args[6], args[2] + "-out");
            case "join" -> join(builder, args[6], args[2] + "-out");
            case "totals" -> {
                totals(builder);
                // Every version, not the last of each commit.
                config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
            }
            default -> throw new IllegalArgumentException("unknown workload " + args[0]);
        }
        long start = System.nanoTime();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        KafkaStreams streams = new KafkaStreams(builder.build(config), config);
        streams.setUncaughtExceptionHandler(error -> {
            failure.set(error);
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        if (args[5].equals("stopped")) {
            CountDownLatch closed = new CountDownLatch(1);
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                streams.close();
                report(start, failure.get());
                closed.countDown();
            }));
            closed.await();
        } else {
            long records = Long.parseLong(args[5]);
            List<? extends Metric> processed = processed(streams);
            while (processed.stream().mapToDouble(metric -> (double) metric.metricValue()).sum() < records && failure.get() == null) {
                Thread.sleep(20);
            }
            streams.close();
            report(start, failure.get());
            System.exit(failure.get() == null ? 0 : 1);
        }
    }

    private static void count(StreamsBuilder builder, String inputs, String output) {
        builder.<String, String>stream(inputs + "-bids")
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, WINDOW))
                .count(Materialized.as("counts-by-key"))
                .toStream()
                .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, WINDOW.toMillis()), Serdes.Long()));
    }

    private static void join(StreamsBuilder builder, String inputs, String output) {
        builder.<String, String>stream(inputs + "-bids")
                .join(builder.<String, String>table(inputs + "-bidders", Materialized.as("bidders-store")), (bid, bidder) -> bid + bidder,
                        Joined.with(Serdes.String(), Serdes.String(), Serdes.String()))
                .to(output);
    }

    record Total(long count, long sum) {}

    private static void totals(StreamsBuilder builder) {
        builder.stream("numbers", Consumed.with(Serdes.String(), Serdes.String()))
                .selectKey((key, value) -> "g" + Long.parseLong(value) % GROUPS)
                .groupByKey(Grouped.as("totals"))
                .aggregate(() -> "{\"count\":0,\"sum\":0}", (key, value, total) -> next(total, Long.parseLong(value)),
                        Materialized.as("totals-by-group"))
                .toStream()
                .to("totals");
    }

    private static String next(String total, long number) {
        String[] words = total.split("[:,}]");
        return "{\"count\":" + (Long.parseLong(words[1]) + 1) + ",\"sum\":" + (Long.parseLong(words[3]) + number) + "}";
    }

    private static List<? extends Metric> processed(KafkaStreams streams) {
        return streams.metrics().values().stream()
                .filter(metric -> metric.metricName().name().equals("process-total"))
                .filter(metric -> metric.metricName().group().equals("stream-thread-metrics"))
                .toList();
    }

    private static void report(long start, Throwable failure) {
        try {
            var bean = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            String peak = Files.readString(Path.of("/proc/self/status")).lines()
                    .filter(line -> line.startsWith("VmHWM")).findFirst().orElse("0").replaceAll("[^0-9]", "");
            System.out.printf("{\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"peak_memory_mib\":%d,\"failed\":\"%s\"}%n",
                    (System.nanoTime() - start) / 1e9, bean.getProcessCpuTime() / 1e9, Long.parseLong(peak) / 1024,
                    failure == null ? "" : failure.getClass().getSimpleName());
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }
}
