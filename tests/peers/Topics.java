// Topics of the peers: loads the input, reads and hashes a peer's output, deletes it.
//
//   Topics load BIDS BIDDERS EVENTS     makes bids-by-auction, bids-by-bidder and bidders, one partition each
//   Topics create TOPIC
//   Topics verify TOPIC WORKLOAD        prints records, rows and table_hash as one JSON object
//   Topics drop PREFIX                  deletes the topics that begin with PREFIX
//
// A record's timestamp is the bid's date_time, bidders' is 0: a table's rows are there before the first bid.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Topics {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String BOOTSTRAP = System.getProperty("bootstrap");

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "load" -> load(Path.of(args[1]), Path.of(args[2]), Long.parseLong(args[3]));
            case "create" -> create(args[1]);
            case "verify" -> verify(args[1], args[2]);
            case "drop" -> drop(args[1]);
            default -> throw new IllegalArgumentException("unknown command " + args[0]);
        }
    }

    private static void create(String... topics) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP))) {
            admin.createTopics(List.of(topics).stream().map(t -> new NewTopic(t, Optional.of(1), Optional.empty())).toList()).all().get();
        }
    }

    private static void drop(String prefix) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP))) {
            admin.deleteTopics(admin.listTopics().names().get().stream().filter(t -> t.startsWith(prefix)).toList()).all().get();
        }
    }

    private static void load(Path bids, Path bidders, long events) throws Exception {
        create("bids-by-auction", "bids-by-bidder", "bidders");
        Map<String, Object> config = Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, BOOTSTRAP,
                ProducerConfig.LINGER_MS_CONFIG, 20,
                ProducerConfig.BATCH_SIZE_CONFIG, 256 * 1024,
                ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class,
                ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config);
                var bidLines = Files.lines(bids);
                var bidderLines = Files.lines(bidders)) {
            for (var lines = bidderLines.iterator(); lines.hasNext(); ) {
                String line = lines.next();
                send(producer, "bidders", 0, JSON.readTree(line).get("id"), line);
            }
            for (var lines = bidLines.limit(events).iterator(); lines.hasNext(); ) {
                String line = lines.next();
                JsonNode bid = JSON.readTree(line);
                long timestamp = bid.get("date_time").longValue();
                send(producer, "bids-by-auction", timestamp, bid.get("auction"), line);
                send(producer, "bids-by-bidder", timestamp, bid.get("bidder"), line);
            }
        }
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, String topic, long timestamp, JsonNode key, String value) {
        byte[] keyBytes = ByteBuffer.allocate(8).putLong(key.longValue()).array();
        producer.send(new ProducerRecord<>(topic, 0, timestamp, keyBytes, value.getBytes(StandardCharsets.UTF_8)), (metadata, error) -> {
            if (error != null) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
    }

    // w0 is a stream: each record is a row. The others are tables: the last record of a key is its row, and a record without a key,
    // as Flink writes them for windows that are emitted once, is a row of its own.
    private static void verify(String topic, String workload) {
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<ByteBuffer, Long> rowHashByKey = new HashMap<>();
        long records = 0;
        long rowsWithoutKey = 0;
        long hash = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, BOOTSTRAP,
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class,
                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class))) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    records++;
                    if (workload.equals("w0") || record.key() == null) {
                        rowsWithoutKey++;
                        hash += rowHash(record.value());
                        continue;
                    }
                    ByteBuffer key = ByteBuffer.wrap(record.key());
                    Long replaced = record.value() == null ? rowHashByKey.remove(key) : rowHashByKey.put(key, rowHash(record.value()));
                    hash -= replaced == null ? 0 : replaced;
                    hash += record.value() == null ? 0 : rowHashByKey.get(key);
                }
            }
        }
        System.out.printf("{\"records\":%d,\"rows\":%d,\"table_hash\":\"%016x\"}%n", records, rowsWithoutKey + rowHashByKey.size(), hash);
    }

    // FNV-1a 64 of the row's columns joined with `|`.
    private static long rowHash(byte[] value) {
        StringBuilder row = new StringBuilder();
        JsonNode json;
        try {
            json = JSON.readTree(value);
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
        json.properties().forEach(column -> row.append(row.isEmpty() ? "" : "|").append(text(column.getKey(), column.getValue())));
        long hash = 0xcbf29ce484222325L;
        for (byte b : row.toString().getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }
        return hash;
    }

    private static String text(String column, JsonNode value) {
        if (value.isNull()) {
            return "NULL";
        }
        if (value.isFloatingPointNumber()) {
            return String.format(Locale.ROOT, "%.6f", value.doubleValue());
        }
        // Flink writes a window's bounds as `2023-11-14 22:13:20`.
        if (value.isTextual() && column.startsWith("window")) {
            return Long.toString(LocalDateTime.parse(value.textValue().replace(' ', 'T')).toInstant(ZoneOffset.UTC).toEpochMilli());
        }
        return value.asText();
    }
}
