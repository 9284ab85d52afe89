import static java.time.Duration.ofMillis;

import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.Windowed;

/** Aggregations over sessions, and their final results. */
final class SessionWindowed extends Topologies {
    private static SessionWindowedKStream<String, String> by(StreamsBuilder builder, int gap, int grace) {
        return stream(builder, "a").groupByKey(grouped())
            .windowedBy(SessionWindows.ofInactivityGapAndGrace(ofMillis(gap), ofMillis(grace)));
    }

    private static KTable<Windowed<String>, String> aggregated(SessionWindowedKStream<String, String> windowed) {
        return windowed.aggregate(() -> "", (k, v, state) -> state + text(v), (k, one, two) -> one + "|" + two,
            Materialized.with(TEXT, TEXT));
    }

    static void addAll() {
        add("session-count", b -> sessionNumbers(by(b, 5, 0).count()));
        add("session-grace-count", b -> sessionNumbers(by(b, 5, 10).count()));
        add("session-grace-reduce", b -> sessions(by(b, 4, 20).reduce((state, v) -> text(state) + text(v))));
        add("session-aggregate", b -> sessions(aggregated(by(b, 5, 0))));
        add("session-grace-aggregate", b -> sessions(aggregated(by(b, 5, 10))));
        addOnDisk("session-final", b -> sessions(aggregated(by(b, 5, 0).emitStrategy(EmitStrategy.onWindowClose()))));
        addOnDisk("session-grace-final", b -> sessions(aggregated(by(b, 5, 10).emitStrategy(EmitStrategy.onWindowClose()))));
        add("session-short-count", b -> sessionNumbers(by(b, 1, 10).count()));
    }
}
