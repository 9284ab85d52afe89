import static java.time.Duration.ofMillis;

import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.TimeWindows;

/** Aggregations of streams without windows. */
final class Aggregations extends Topologies {
    static void addAll() {
        add("count", b -> numbers(stream(b, "a").groupByKey(grouped()).count()));
        add("reduce", b -> out(stream(b, "a").groupByKey(grouped()).reduce((state, v) -> state + v)));
        add("aggregate", b -> out(stream(b, "a").groupByKey(grouped())
            .aggregate(() -> "=", (k, v, state) -> state + k + v, Materialized.with(TEXT, TEXT))));
        add("aggregate-to-null", b -> out(stream(b, "a").groupByKey(grouped())
            .aggregate(() -> "=", (k, v, state) -> even(v) ? null : text(state) + v, Materialized.with(TEXT, TEXT))));
        add("group-by-count", b -> numbers(stream(b, "a").groupBy((k, v) -> first(v), grouped()).count()));
        add("group-by-aggregate", b -> out(stream(b, "a").groupBy((k, v) -> first(v), grouped())
            .aggregate(() -> "", (k, v, state) -> state + v, Materialized.with(TEXT, TEXT))));
        add("select-key-reduce", b -> out(stream(b, "a").selectKey((k, v) -> even(v) ? "even" : "odd").groupByKey(grouped())
            .reduce((state, v) -> state + v)));
        add("filter-count", b -> numbers(stream(b, "a").filter((k, v) -> even(v)).groupByKey(grouped()).count()));
        add("merge-reduce", b -> out(stream(b, "a").merge(stream(b, "b")).groupByKey(grouped()).reduce((state, v) -> state + v)));
        add("count-filter", b -> numbers(stream(b, "a").groupByKey(grouped()).count().filter((k, n) -> n % 3 != 0)));
        add("reduce-map-values", b -> out(stream(b, "a").groupByKey(grouped()).reduce((state, v) -> state + v)
            .mapValues(v -> even(v) ? v + "!" : v)));
        add("cogroup", b -> {
            var left = stream(b, "a").groupByKey(grouped());
            var right = stream(b, "b").groupByKey(grouped());
            out(left.<String>cogroup((k, v, state) -> state + v).cogroup(right, (k, v, state) -> state + "(" + v + ")")
                .aggregate(() -> "=", Materialized.with(TEXT, TEXT)));
        });
        add("cogroup-tumbling", b -> windowed(cogrouped(b).windowedBy(TimeWindows.ofSizeAndGrace(ofMillis(10), ofMillis(7)))
            .aggregate(() -> "=", Materialized.with(TEXT, TEXT))));
        add("cogroup-session", b -> sessions(cogrouped(b).windowedBy(SessionWindows.ofInactivityGapAndGrace(ofMillis(5), ofMillis(10)))
            .aggregate(() -> "=", (k, one, two) -> one + "|" + two, Materialized.with(TEXT, TEXT))));
        add("cogroup-sliding", b -> windowed(cogrouped(b).windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(ofMillis(10), ofMillis(7)))
            .aggregate(() -> "=", Materialized.with(TEXT, TEXT))));
        add("cogroup-rekeyed", b -> {
            var right = stream(b, "b").groupBy((k, v) -> first(v), grouped());
            out(stream(b, "a").groupByKey(grouped()).<String>cogroup((k, v, state) -> state + v)
                .cogroup(right, (k, v, state) -> state + "(" + v + ")").aggregate(() -> "=", Materialized.with(TEXT, TEXT)));
        });
    }

    private static CogroupedKStream<String, String> cogrouped(StreamsBuilder builder) {
        return stream(builder, "a").groupByKey(grouped()).<String>cogroup((k, v, state) -> state + text(v))
            .cogroup(stream(builder, "b").groupByKey(grouped()), (k, v, state) -> state + "(" + text(v) + ")");
    }
}
