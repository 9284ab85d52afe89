import static java.time.Duration.ofMillis;

import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.Stores;

/** Joins with tables that are whole everywhere, and with tables that remember their past. */
final class GlobalAndVersioned extends Topologies {
    private static GlobalKTable<String, String> global(StreamsBuilder builder) {
        return builder.globalTable("b", Consumed.with(TEXT, TEXT));
    }

    /** A table whose rows can be looked up as of up to 30 ms ago. */
    private static KTable<String, String> versioned(StreamsBuilder builder, String topic) {
        var store = Stores.persistentVersionedKeyValueStore(topic + "-versions", ofMillis(30), ofMillis(10));
        return builder.table(topic, Consumed.with(TEXT, TEXT), Materialized.as(store));
    }

    private static Joined<String, String, String> joined() {
        return Joined.with(TEXT, TEXT, TEXT);
    }

    static void addAll() {
        add("global-join", b -> out(stream(b, "a").join(global(b), (k, v) -> first(v), Topologies::both)));
        add("global-left-join", b -> out(stream(b, "a").leftJoin(global(b), (k, v) -> first(v), Topologies::both)));
        add("global-join-by-key", b -> out(stream(b, "a").join(global(b), (k, v) -> k, Topologies::both)));
        add("global-left-join-null-key", b -> out(stream(b, "a").leftJoin(global(b), (k, v) -> foreignKey(v), Topologies::both)));
        add("versioned-join", b -> out(stream(b, "a").join(versioned(b, "b"), Topologies::both, joined())));
        add("versioned-left-join", b -> out(stream(b, "a").leftJoin(versioned(b, "b"), Topologies::both, joined())));
        add("versioned-join-grace", b -> out(stream(b, "a")
            .join(versioned(b, "b"), Topologies::both, joined().withGracePeriod(ofMillis(8)))));
        add("versioned-left-join-grace", b -> out(stream(b, "a")
            .leftJoin(versioned(b, "b"), Topologies::both, joined().withGracePeriod(ofMillis(8)))));
        add("versioned-table", b -> out(versioned(b, "a")));
        add("versioned-filter", b -> out(versioned(b, "a").filter((k, v) -> even(v))));
        add("versioned-group-by-count", b -> numbers(versioned(b, "a").groupBy((k, v) -> KeyValue.pair(first(v), v), grouped()).count()));
        add("versioned-tables-join", b -> out(versioned(b, "a").join(versioned(b, "b"), Topologies::both)));
        add("versioned-tables-left-join", b -> out(versioned(b, "a").leftJoin(versioned(b, "b"), Topologies::both)));
        add("versioned-tables-outer-join", b -> out(versioned(b, "a").outerJoin(versioned(b, "b"), Topologies::both)));
        add("versioned-foreign-key-join", b -> out(versioned(b, "a").join(versioned(b, "b"), Topologies::foreignKey, Topologies::both)));
    }
}
