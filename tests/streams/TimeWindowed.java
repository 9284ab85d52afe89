import static java.time.Duration.ofMillis;

import java.util.function.Function;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.UnlimitedWindows;

/** Aggregations over windows whose bounds lie in the time line or follow from the records, and their final results. */
final class TimeWindowed extends Topologies {
    private static TimeWindows tumbling(int size, int grace) {
        return TimeWindows.ofSizeAndGrace(ofMillis(size), ofMillis(grace));
    }

    private static TimeWindows hopping(int size, int advance, int grace) {
        return tumbling(size, grace).advanceBy(ofMillis(advance));
    }

    private static SlidingWindows sliding(int difference, int grace) {
        return SlidingWindows.ofTimeDifferenceAndGrace(ofMillis(difference), ofMillis(grace));
    }

    private static Function<StreamsBuilder, TimeWindowedKStream<String, String>> by(TimeWindows windows) {
        return b -> stream(b, "a").groupByKey(grouped()).windowedBy(windows);
    }

    private static Function<StreamsBuilder, TimeWindowedKStream<String, String>> by(SlidingWindows windows) {
        return b -> stream(b, "a").groupByKey(grouped()).windowedBy(windows);
    }

    private static void counted(String name, Function<StreamsBuilder, TimeWindowedKStream<String, String>> by) {
        add(name + "-count", b -> windowedNumbers(by.apply(b).count()));
    }

    private static void reduced(String name, Function<StreamsBuilder, TimeWindowedKStream<String, String>> by) {
        add(name + "-reduce", b -> windowed(by.apply(b).reduce((state, v) -> text(state) + text(v))));
    }

    private static void aggregated(String name, Function<StreamsBuilder, TimeWindowedKStream<String, String>> by) {
        add(name + "-aggregate", b -> windowed(by.apply(b)
            .aggregate(() -> "", (k, v, state) -> state + text(v), Materialized.with(TEXT, TEXT))));
    }

    private static void whenClosed(String name, Function<StreamsBuilder, TimeWindowedKStream<String, String>> by) {
        addOnDisk(name + "-final", b -> windowed(by.apply(b).emitStrategy(EmitStrategy.onWindowClose())
            .aggregate(() -> "", (k, v, state) -> state + text(v), Materialized.with(TEXT, TEXT))));
    }

    static void addAll() {
        counted("tumbling", by(tumbling(10, 0)));
        counted("tumbling-grace", by(tumbling(10, 7)));
        reduced("tumbling-grace", by(tumbling(10, 7)));
        aggregated("tumbling-grace", by(tumbling(10, 7)));
        whenClosed("tumbling", by(tumbling(10, 0)));
        whenClosed("tumbling-grace", by(tumbling(10, 7)));
        counted("hopping", by(hopping(10, 4, 0)));
        aggregated("hopping-grace", by(hopping(10, 4, 7)));
        reduced("hopping-half", by(hopping(12, 6, 5)));
        whenClosed("hopping-grace", by(hopping(10, 4, 7)));
        add("tumbling-group-by-count", b -> windowedNumbers(stream(b, "a").groupBy((k, v) -> first(v), grouped())
            .windowedBy(tumbling(10, 7)).count()));
        add("tumbling-filter", b -> windowedNumbers(by(tumbling(10, 7)).apply(b).count().filter((k, n) -> n % 3 == 2)));
        add("tumbling-map-values", b -> windowed(by(tumbling(10, 7)).apply(b).count().mapValues(n -> "n" + n)));
        add("tumbling-rekeyed-count", b -> numbers(by(tumbling(10, 7)).apply(b).count().toStream((k, n) -> k.key()).groupByKey(
            Grouped.with(TEXT, NUMBER)).count()));
        add("tumbling-group-by-key-sum", b -> numbers(by(tumbling(10, 7)).apply(b).count()
            .groupBy((k, n) -> KeyValue.pair(k.key(), n), Grouped.with(TEXT, NUMBER))
            .aggregate(() -> 0L, (k, n, sum) -> sum + n, (k, n, sum) -> sum - n, Materialized.with(TEXT, NUMBER))));
        counted("sliding", by(sliding(10, 0)));
        counted("sliding-grace", by(sliding(10, 7)));
        aggregated("sliding-grace", by(sliding(10, 7)));
        reduced("sliding-grace", by(sliding(6, 20)));
        whenClosed("sliding-grace", by(sliding(10, 7)));
        counted("unlimited", b -> stream(b, "a").groupByKey(grouped()).windowedBy(UnlimitedWindows.of().startOn(java.time.Instant.ofEpochMilli(20))));
        aggregated("unlimited", b -> stream(b, "a").groupByKey(grouped()).windowedBy(UnlimitedWindows.of()));
    }
}
