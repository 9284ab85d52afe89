import static java.time.Duration.ofMillis;
import static org.apache.kafka.streams.kstream.Suppressed.BufferConfig.maxRecords;
import static org.apache.kafka.streams.kstream.Suppressed.BufferConfig.unbounded;
import static org.apache.kafka.streams.kstream.Suppressed.untilTimeLimit;
import static org.apache.kafka.streams.kstream.Suppressed.untilWindowCloses;

import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

/** Updates of tables that are held back. */
final class Suppressions extends Topologies {
    private static KTable<Windowed<String>, Long> tumbling(StreamsBuilder builder, int grace) {
        return stream(builder, "a").groupByKey(grouped())
            .windowedBy(TimeWindows.ofSizeAndGrace(ofMillis(10), ofMillis(grace))).count();
    }

    private static KTable<Windowed<String>, String> hopping(StreamsBuilder builder) {
        return stream(builder, "a").groupByKey(grouped())
            .windowedBy(TimeWindows.ofSizeAndGrace(ofMillis(10), ofMillis(7)).advanceBy(ofMillis(4)))
            .aggregate(() -> "", (k, v, state) -> state + text(v), Materialized.with(TEXT, TEXT));
    }

    private static KTable<Windowed<String>, String> session(StreamsBuilder builder) {
        return stream(builder, "a").groupByKey(grouped())
            .windowedBy(SessionWindows.ofInactivityGapAndGrace(ofMillis(5), ofMillis(10)))
            .aggregate(() -> "", (k, v, state) -> state + text(v), (k, one, two) -> one + "|" + two, Materialized.with(TEXT, TEXT));
    }

    private static KTable<Windowed<String>, String> sliding(StreamsBuilder builder) {
        return stream(builder, "a").groupByKey(grouped())
            .windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(ofMillis(10), ofMillis(7)))
            .aggregate(() -> "", (k, v, state) -> state + text(v), Materialized.with(TEXT, TEXT));
    }

    static void addAll() {
        add("suppress-tumbling", b -> windowedNumbers(tumbling(b, 0).suppress(untilWindowCloses(unbounded()))));
        add("suppress-tumbling-grace", b -> windowedNumbers(tumbling(b, 7).suppress(untilWindowCloses(unbounded()))));
        add("suppress-hopping", b -> windowed(hopping(b).suppress(untilWindowCloses(unbounded()))));
        add("suppress-session", b -> sessions(session(b).suppress(untilWindowCloses(unbounded()))));
        add("suppress-sliding", b -> windowed(sliding(b).suppress(untilWindowCloses(unbounded()))));
        add("suppress-mapped", b -> windowed(hopping(b).mapValues(v -> v + "!").suppress(untilWindowCloses(unbounded()))));
        add("suppress-filtered", b -> windowed(hopping(b).filter((k, v) -> even(v)).suppress(untilWindowCloses(unbounded()))));
        add("suppress-then-map-values", b -> windowed(hopping(b).suppress(untilWindowCloses(unbounded())).mapValues(v -> v + "!")));
        add("suppress-limit-windowed", b -> windowedNumbers(tumbling(b, 7).suppress(untilTimeLimit(ofMillis(6), unbounded()))));
        add("suppress-limit-session", b -> sessions(session(b).suppress(untilTimeLimit(ofMillis(6), unbounded()))));
        add("suppress-limit-table", b -> out(table(b, "a").suppress(untilTimeLimit(ofMillis(8), unbounded()))));
        add("suppress-no-limit", b -> out(table(b, "a").suppress(untilTimeLimit(ofMillis(0), unbounded()))));
        add("suppress-limit-records", b -> out(table(b, "a")
            .suppress(untilTimeLimit(ofMillis(20), maxRecords(2).emitEarlyWhenFull()))));
        add("suppress-limit-filtered", b -> out(table(b, "a").filter((k, v) -> even(v)).suppress(untilTimeLimit(ofMillis(8), unbounded()))));
    }
}
