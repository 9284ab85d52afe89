import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.Materialized;

/** Tables: their rows chosen, changed and grouped. */
final class Tables extends Topologies {
    private static KGroupedTable<String, String> byFirst(StreamsBuilder builder) {
        return table(builder, "a").groupBy((k, v) -> KeyValue.pair(first(v), v), grouped());
    }

    static void addAll() {
        add("table", b -> out(table(b, "a")));
        add("table-filter", b -> out(table(b, "a").filter((k, v) -> even(v))));
        add("table-filter-not", b -> out(table(b, "a").filterNot((k, v) -> even(v))));
        add("table-map-values", b -> out(table(b, "a").mapValues(v -> v + "!")));
        add("table-map-values-to-null", b -> out(table(b, "a").mapValues(v -> even(v) ? null : v)));
        add("table-filter-map-values", b -> out(table(b, "a").filter((k, v) -> even(v)).mapValues(v -> v + "!")));
        add("table-filter-materialized", b -> out(table(b, "a").filter((k, v) -> even(v), Materialized.with(TEXT, TEXT))));
        add("table-group-by-count", b -> numbers(byFirst(b).count()));
        add("table-group-by-reduce", b -> out(byFirst(b).reduce((state, v) -> state + "+" + v, (state, v) -> state + "-" + v)));
        add("table-group-by-aggregate", b -> out(byFirst(b)
            .aggregate(() -> "=", (k, v, state) -> state + "+" + v, (k, v, state) -> state + "-" + v, Materialized.with(TEXT, TEXT))));
        add("table-filter-group-by-count", b -> numbers(table(b, "a").filter((k, v) -> even(v))
            .groupBy((k, v) -> KeyValue.pair(first(v), v), grouped()).count()));
        add("reduce-group-by-count", b -> numbers(stream(b, "a").groupByKey(grouped()).reduce((state, v) -> v)
            .groupBy((k, v) -> KeyValue.pair(first(v), v), grouped()).count()));
        add("table-to-stream-count", b -> numbers(table(b, "a").toStream().groupByKey(grouped()).count()));
    }
}
