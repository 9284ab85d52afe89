// The workloads on Kafka Streams, as a user of it would write them: DSL, RocksDB, changelogs, one thread.
//
//   KafkaStreamsPeer WORKLOAD EVENTS BIDDERS APPLICATION_ID OUTPUT_TOPIC STATE_DIR EXACTLY_ONCE(true|false) CACHE_BYTES(default|N)
//
// Bids are read with Jackson's streaming parser, three fields of seven; state is fixed-width binary; output is hand-written JSON with the
// columns in the order of the table hash. Prints what it took as one JSON object.

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;

public final class KafkaStreamsPeer {
    private static final JsonFactory JSON = new JsonFactory();
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final Duration GRACE = Duration.ofSeconds(10);
    private static final Duration HOP = Duration.ofSeconds(2);

    record Bid(long auction, long bidder, long price) {}

    record Pair(long auction, long bidder) {}

    record Stats(long count, long sum, long max) {}

    record Spent(long count, long sum) {}

    private static final Serde<Bid> BID_JSON = serde(bid -> {
        throw new UnsupportedOperationException("bids are only read");
    }, KafkaStreamsPeer::parseBid);
    private static final Serde<String> CITY_JSON = serde(
            city -> ("{\"city\":\"" + city + "\"}").getBytes(StandardCharsets.UTF_8), KafkaStreamsPeer::parseCity);
    private static final Serde<Pair> PAIR = serde(
            p -> ByteBuffer.allocate(16).putLong(p.auction).putLong(p.bidder).array(), b -> new Pair(b.getLong(), b.getLong()));
    private static final Serde<Stats> STATS = serde(
            s -> ByteBuffer.allocate(24).putLong(s.count).putLong(s.sum).putLong(s.max).array(),
            b -> new Stats(b.getLong(), b.getLong(), b.getLong()));
    private static final Serde<Spent> SPENT = serde(
            s -> ByteBuffer.allocate(16).putLong(s.count).putLong(s.sum).array(), b -> new Spent(b.getLong(), b.getLong()));

    public static void main(String[] args) throws Exception {
        Measured measured = Measured.start();
        String workload = args[0];
        long events = Long.parseLong(args[1]);
        long bidders = Long.parseLong(args[2]);
        Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getProperty("bootstrap"));
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
                Boolean.parseBoolean(args[6]) ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        if (!args[7].equals("default")) {
            config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, args[7]);
        }

        StreamsBuilder builder = new StreamsBuilder();
        long recordsToProcess = switch (workload) {
            case "w0" -> projectAndFilter(builder, args[4], events);
            case "w1" -> tumbling(builder, args[4], events);
            case "w2" -> hopping(builder, args[4], events);
            case "w3" -> joinThenCount(builder, args[4], events, bidders);
            case "w4" -> running(builder, args[4], events);
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        };

        AtomicReference<Throwable> failure = new AtomicReference<>();
        KafkaStreams streams = new KafkaStreams(builder.build(config), config);
        streams.setUncaughtExceptionHandler(error -> {
            failure.set(error);
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        List<? extends Metric> processed = processed(streams);
        while (processed.stream().mapToDouble(metric -> (double) metric.metricValue()).sum() < recordsToProcess) {
            if (failure.get() != null) {
                failure.get().printStackTrace();
                System.exit(1);
            }
            Thread.sleep(20);
        }
        // A clean stop commits what is processed: the only way to have that under at-least-once, which commits every 30 s.
        streams.close();
        measured.print();
        System.exit(0);
    }

    // The counters of records taken, a thread each; a repartitioned record counts twice, once in each of the two subtopologies.
    private static List<? extends Metric> processed(KafkaStreams streams) {
        return streams.metrics().values().stream()
                .filter(metric -> metric.metricName().name().equals("process-total"))
                .filter(metric -> metric.metricName().group().equals("stream-thread-metrics"))
                .toList();
    }

    private static KStream<Long, Bid> bids(StreamsBuilder builder, String topic) {
        return builder.stream(topic, Consumed.with(Serdes.Long(), BID_JSON));
    }

    private static long projectAndFilter(StreamsBuilder builder, String output, long events) {
        bids(builder, "bids-by-auction")
                .filter((auction, bid) -> bid.auction % 123 == 0)
                .mapValues(bid -> json(b -> b.append("{\"auction\":").append(bid.auction).append(",\"price\":").append(bid.price * 0.908)
                        .append(",\"bidder\":").append(bid.bidder)))
                .to(output, Produced.with(Serdes.Long(), Serdes.ByteArray()));
        return events;
    }

    private static long tumbling(StreamsBuilder builder, String output, long events) {
        bids(builder, "bids-by-auction")
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
                .aggregate(() -> new Stats(0, 0, Long.MIN_VALUE),
                        (auction, bid, s) -> new Stats(s.count + 1, s.sum + bid.price, Math.max(s.max, bid.price)),
                        Materialized.with(Serdes.Long(), STATS))
                .toStream()
                .mapValues((key, s) -> json(b -> window(b, "auction", key).append(",\"count\":").append(s.count)
                        .append(",\"sum\":").append(s.sum).append(",\"max\":").append(s.max)))
                .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, WINDOW.toMillis()), Serdes.ByteArray()));
        return events;
    }

    private static long hopping(StreamsBuilder builder, String output, long events) {
        bids(builder, "bids-by-auction")
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE).advanceBy(HOP))
                .count(Materialized.with(Serdes.Long(), Serdes.Long()))
                .toStream()
                .mapValues((key, count) -> json(b -> window(b, "auction", key).append(",\"count\":").append(count)))
                .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, WINDOW.toMillis()), Serdes.ByteArray()));
        return events;
    }

    private static long joinThenCount(StreamsBuilder builder, String output, long events, long bidders) {
        KTable<Long, String> cities = builder.table("bidders", Consumed.with(Serdes.Long(), CITY_JSON));
        bids(builder, "bids-by-bidder")
                .join(cities, (bid, city) -> city, Joined.with(Serdes.Long(), BID_JSON, CITY_JSON))
                .groupBy((bidder, city) -> city, Grouped.with(Serdes.String(), Serdes.String()))
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
                .count(Materialized.with(Serdes.String(), Serdes.Long()))
                .toStream()
                .mapValues((key, count) -> json(b -> window(b, "city", key).append(",\"count\":").append(count)))
                .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, WINDOW.toMillis()), Serdes.ByteArray()));
        return bidders + events + events;
    }

    private static long running(StreamsBuilder builder, String output, long events) {
        bids(builder, "bids-by-auction")
                .map((auction, bid) -> KeyValue.pair(new Pair(bid.auction, bid.bidder), bid.price))
                .groupByKey(Grouped.with(PAIR, Serdes.Long()))
                .aggregate(() -> new Spent(0, 0), (pair, price, s) -> new Spent(s.count + 1, s.sum + price), Materialized.with(PAIR, SPENT))
                .toStream()
                .mapValues((pair, s) -> json(b -> b.append("{\"auction\":").append(pair.auction).append(",\"bidder\":").append(pair.bidder)
                        .append(",\"count\":").append(s.count).append(",\"sum\":").append(s.sum)))
                .to(output, Produced.with(PAIR, Serdes.ByteArray()));
        return events + events;
    }

    private static byte[] json(Function<StringBuilder, StringBuilder> columns) {
        return columns.apply(new StringBuilder(96)).append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    private static StringBuilder window(StringBuilder b, String name, Windowed<?> key) {
        b.append("{\"").append(name).append("\":");
        if (key.key() instanceof String text) {
            b.append('"').append(text).append('"');
        } else {
            b.append(key.key());
        }
        return b.append(",\"windowstart\":").append(key.window().start()).append(",\"windowend\":").append(key.window().end());
    }

    private static Bid parseBid(ByteBuffer value) {
        long auction = 0;
        long bidder = 0;
        long price = 0;
        try (JsonParser parser = JSON.createParser(value.array())) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "auction" -> auction = parser.getLongValue();
                    case "bidder" -> bidder = parser.getLongValue();
                    case "price" -> price = parser.getLongValue();
                    default -> parser.skipChildren();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return new Bid(auction, bidder, price);
    }

    private static String parseCity(ByteBuffer value) {
        try (JsonParser parser = JSON.createParser(value.array())) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                boolean found = parser.currentName().equals("city");
                parser.nextToken();
                if (found) {
                    return parser.getText();
                }
                parser.skipChildren();
            }
            throw new IOException("a bidder without a city");
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static <T> Serde<T> serde(Function<T, byte[]> write, Function<ByteBuffer, T> read) {
        return Serdes.serdeFrom(
                (topic, value) -> value == null ? null : write.apply(value),
                (topic, bytes) -> bytes == null ? null : read.apply(ByteBuffer.wrap(bytes)));
    }
}
