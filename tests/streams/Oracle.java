import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.test.TestRecord;

/**
 * What Kafka Streams makes of given input. Cases are read from standard input and answered on standard output, one word a part:
 *
 * <pre>
 * case ID TOPOLOGY                                        case ID
 * record TOPIC KEY VALUE TIMESTAMP NAME=VALUE..           output STEP TOPIC KEY VALUE TIMESTAMP NAME=VALUE..
 * clock MILLISECONDS                                      failed STEP MESSAGE
 * end                                                     end
 * </pre>
 *
 * Keys and values are `x` and bytes in hexadecimal digits, or `-` where there is none. An output names the step, from 0, that brought it
 * about. Every case has a driver of its own; several are run at once, and answers come as they are ready.
 */
final class Oracle {
    private static final String APPLICATION = "oracle";
    private static final HexFormat HEX = HexFormat.of();

    private final String id;
    private final String topology;
    private final List<String[]> steps = new ArrayList<>();
    private final StringBuilder answer = new StringBuilder();

    private Oracle(String id, String topology) {
        this.id = id;
        this.topology = topology;
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        Path states = Files.createTempDirectory("millstream-oracle");
        ExecutorService workers = Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        Oracle next = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "case" -> next = new Oracle(words[1], words[2]);
                case "end" -> {
                    Oracle whole = next;
                    workers.submit(() -> whole.answer(states, out));
                }
                default -> next.steps.add(words);
            }
        }
        workers.shutdown();
        workers.awaitTermination(1, TimeUnit.HOURS);
        try (var files = Files.walk(states)) {
            files.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
    }

    private void answer(Path states, PrintStream out) {
        answer.append("case ").append(id).append('\n');
        int step = -1;
        try (TopologyTestDriver driver = driver(states)) {
            for (String[] words : steps) {
                step++;
                take(driver, words);
                drain(driver, step);
            }
        } catch (Throwable error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            answer.append("failed ").append(step).append(' ').append(cause.toString().replaceAll("\\s+", " ")).append('\n');
        }
        answer.append("end\n");
        synchronized (out) {
            out.print(answer.toString().replaceAll("[^\\x00-\\x7f]", "?"));
            out.flush();
        }
    }

    private TopologyTestDriver driver(Path states) {
        StreamsBuilder builder = new StreamsBuilder();
        var topology = Topologies.named(this.topology);
        if (topology == null) {
            throw new IllegalArgumentException("there is no topology " + this.topology);
        }
        topology.accept(builder);
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, APPLICATION);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
        properties.put(StreamsConfig.STATE_DIR_CONFIG, states.resolve(id).toString());
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, stores(this.topology));
        // Otherwise the wall clock decides when windows that have closed are noticed.
        properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 0L);
        properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX, 0L);
        return new TopologyTestDriver(builder.build(), properties, Instant.ofEpochMilli(0));
    }

    /** Stores in memory, unless the topology or the environment asks for RocksDB: slower, and the same. */
    private static Class<?> stores(String topology) {
        boolean disk = Topologies.isOnDisk(topology) || "rocksdb".equals(System.getenv("MILLSTREAM_ORACLE_STORES"));
        return disk ? BuiltInDslStoreSuppliers.RocksDBDslStoreSuppliers.class : BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class;
    }

    private void take(TopologyTestDriver driver, String[] words) {
        if (words[0].equals("clock")) {
            driver.advanceWallClockTime(Duration.ofMillis(Long.parseLong(words[1])));
            return;
        }
        RecordHeaders headers = new RecordHeaders();
        for (int word = 5; word < words.length; word++) {
            String[] parts = words[word].split("=", 2);
            headers.add(parts[0], bytes(parts[1]));
        }
        var topic = driver.createInputTopic(words[1], new ByteArraySerializer(), new ByteArraySerializer());
        topic.pipeInput(new TestRecord<>(bytes(words[2]), bytes(words[3]), headers, Long.parseLong(words[4])));
    }

    private void drain(TopologyTestDriver driver, int step) {
        for (String topic : new TreeSet<>(driver.producedTopicNames())) {
            if (topic.startsWith(APPLICATION + "-")) {
                continue;
            }
            TestOutputTopic<byte[], byte[]> output =
                driver.createOutputTopic(topic, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            for (TestRecord<byte[], byte[]> record : output.readRecordsToList()) {
                answer.append("output ").append(step).append(' ').append(topic).append(' ').append(text(record.key())).append(' ')
                    .append(text(record.value())).append(' ').append(record.timestamp());
                for (Header header : record.headers()) {
                    answer.append(' ').append(header.key()).append('=').append(text(header.value()));
                }
                answer.append('\n');
            }
        }
    }

    private static byte[] bytes(String word) {
        return word.equals("-") ? null : HEX.parseHex(word, 1, word.length());
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "-" : "x" + HEX.formatHex(bytes);
    }
}
