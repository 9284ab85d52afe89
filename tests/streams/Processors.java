import static java.time.Duration.ofMillis;

import java.time.Duration;
import java.util.function.BiConsumer;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.TimestampedKeyValueStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.state.VersionedKeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** Operators of one's own, with stores and punctuations. */
final class Processors extends Topologies {
    private static final String STORE = "store";

    /** A processor that is one function of its context and a record. */
    private static KStream<String, String> process(
        KStream<String, String> stream, BiConsumer<ProcessorContext<String, String>, Record<String, String>> function, String... stores) {
        return stream.process(() -> new ContextualProcessor<String, String, String, String>() {
            @Override
            public void process(Record<String, String> record) {
                function.accept(context(), record);
            }
        }, stores);
    }

    private static KStream<String, String> keyed(StreamsBuilder builder, String topic) {
        return stream(builder, topic).filter((k, v) -> k != null);
    }

    private static StreamsBuilder withStore(StreamsBuilder builder) {
        return builder.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), TEXT, TEXT));
    }

    private static String all(KeyValueStore<String, String> store) {
        StringBuilder text = new StringBuilder();
        try (var rows = store.all()) {
            rows.forEachRemaining(row -> text.append(row.key).append(row.value));
        }
        return text.toString();
    }

    /** Keeps each value and, at every tick, passes on what is kept. */
    private static final class Ticking extends ContextualProcessor<String, String, String, String> {
        private final Duration interval;
        private final PunctuationType type;

        Ticking(Duration interval, PunctuationType type) {
            this.interval = interval;
            this.type = type;
        }

        @Override
        public void init(ProcessorContext<String, String> context) {
            super.init(context);
            context.schedule(interval, type, time -> {
                KeyValueStore<String, String> store = context.getStateStore(STORE);
                context.forward(new Record<>("tick", all(store), time));
            });
        }

        @Override
        public void process(Record<String, String> record) {
            KeyValueStore<String, String> store = context().getStateStore(STORE);
            store.put(record.key(), record.value());
            context().forward(record.withValue("kept " + text(record.value())));
        }
    }

    /** Numbers values, for each key from 1. */
    private static final class Numbered extends ContextualFixedKeyProcessor<String, String, String> {
        @Override
        public void process(FixedKeyRecord<String, String> record) {
            KeyValueStore<String, String> store = context().getStateStore(STORE);
            String known = store.get(record.key());
            String number = String.valueOf(known == null ? 1 : Integer.parseInt(known) + 1);
            store.put(record.key(), number);
            context().forward(record.withValue(text(record.value()) + "#" + number));
        }
    }

    static void addAll() {
        add("process", b -> out(process(keyed(withStore(b), "a"), (context, record) -> {
            KeyValueStore<String, String> store = context.getStateStore(STORE);
            String state = text(store.get(record.key())) + text(record.value());
            store.put(record.key(), state);
            context.forward(record.withValue(state));
            if (even(record.value())) {
                context.forward(new Record<>(first(record.value()), "even", record.timestamp() + 5));
            }
        }, STORE)));
        add("process-delete", b -> out(process(keyed(withStore(b), "a"), (context, record) -> {
            KeyValueStore<String, String> store = context.getStateStore(STORE);
            if (even(record.value())) {
                store.delete(record.key());
            } else {
                store.put(record.key(), record.value());
            }
            context.forward(record.withValue(all(store)));
        }, STORE)));
        add("process-put-if-absent", b -> out(process(keyed(withStore(b), "a"), (context, record) -> {
            KeyValueStore<String, String> store = context.getStateStore(STORE);
            String known = store.putIfAbsent(record.key(), record.value());
            context.forward(record.withValue(text(known)));
        }, STORE)));
        add("process-range", b -> out(process(keyed(withStore(b), "a"), (context, record) -> {
            KeyValueStore<String, String> store = context.getStateStore(STORE);
            store.put(record.key() + text(record.value()), text(record.value()));
            StringBuilder text = new StringBuilder();
            try (var rows = store.range("a", "b5"); var back = store.reverseRange("b", null)) {
                rows.forEachRemaining(row -> text.append(row.key));
                text.append('|');
                back.forEachRemaining(row -> text.append(row.key));
            }
            context.forward(record.withValue(text.toString()));
        }, STORE)));
        add("process-values", b -> out(keyed(withStore(b), "a").processValues(Numbered::new, STORE)));
        add("process-rekeyed", b -> numbers(process(keyed(b, "a"), (context, record) -> {
            context.forward(record.withKey(first(record.value())).withTimestamp(record.timestamp() + 3));
        }).groupByKey(grouped()).count()));
        add("process-two-streams", b -> {
            withStore(b);
            process(keyed(b, "a"), (context, record) -> {
                KeyValueStore<String, String> store = context.getStateStore(STORE);
                store.put(record.key(), record.value());
            }, STORE);
            out(process(keyed(b, "b"), (context, record) -> {
                KeyValueStore<String, String> store = context.getStateStore(STORE);
                context.forward(record.withValue(both(record.value(), store.get(record.key()))));
            }, STORE));
        });
        add("process-table-store", b -> {
            b.table("b", Consumed.with(TEXT, TEXT), Materialized.as(Stores.inMemoryKeyValueStore(STORE)));
            out(process(keyed(b, "a"), (context, record) -> {
                TimestampedKeyValueStore<String, String> store = context.getStateStore(STORE);
                ValueAndTimestamp<String> row = store.get(record.key());
                context.forward(record.withValue(row == null ? "~" : row.value() + "@" + row.timestamp()));
            }, STORE));
        });
        add("process-headers", b -> out(process(stream(b, "a"), (context, record) -> {
            record.headers().add("more", new byte[] {1});
            context.forward(record);
        })));
        add("process-window-store", b -> {
            b.addStateStore(Stores.windowStoreBuilder(Stores.inMemoryWindowStore(STORE, ofMillis(30), ofMillis(10), false), TEXT, TEXT));
            out(process(keyed(b, "a"), (context, record) -> {
                WindowStore<String, String> store = context.getStateStore(STORE);
                store.put(record.key(), record.value(), record.timestamp());
                StringBuilder text = new StringBuilder();
                try (var rows = store.fetch(record.key(), Math.max(0, record.timestamp() - 12), record.timestamp() + 5)) {
                    rows.forEachRemaining(row -> text.append(row.key).append(row.value).append(' '));
                }
                context.forward(record.withValue(text.toString()));
            }, STORE));
        });
        add("process-versioned-store", b -> {
            b.addStateStore(Stores.versionedKeyValueStoreBuilder(
                Stores.persistentVersionedKeyValueStore(STORE, ofMillis(30), ofMillis(10)), TEXT, TEXT));
            out(process(keyed(b, "a"), (context, record) -> {
                VersionedKeyValueStore<String, String> store = context.getStateStore(STORE);
                store.put(record.key(), record.value(), record.timestamp());
                var now = store.get(record.key());
                var then = store.get(record.key(), record.timestamp() - 6);
                context.forward(record.withValue((now == null ? "~" : now.value() + "@" + now.timestamp())
                    + "|" + (then == null ? "~" : then.value() + "@" + then.timestamp())));
            }, STORE));
        });
        add("punctuate-stream-time", b -> out(keyed(withStore(b), "a")
            .process(() -> new Ticking(ofMillis(10), PunctuationType.STREAM_TIME), STORE)));
        add("punctuate-wall-clock", b -> out(keyed(withStore(b), "a")
            .process(() -> new Ticking(ofMillis(10), PunctuationType.WALL_CLOCK_TIME), STORE)));
        add("dynamic-topic", b -> stream(b, "a").to((k, v, context) -> even(v) ? "out" : "out2",
            org.apache.kafka.streams.kstream.Produced.with(TEXT, TEXT)));
        add("process-aggregated", b -> out(process(stream(b, "a").groupByKey(grouped()).reduce((state, v) -> state + v).toStream(),
            (context, record) -> context.forward(record.withValue(record.value() + "@" + context.currentStreamTimeMs())))));
    }

    private Processors() {}
}
