import static java.time.Duration.ofMillis;

import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.StreamJoined;

/** Joins in which records of a stream meet others: of a stream, or the rows of a table. */
final class StreamJoins extends Topologies {
    private static void streams(String name, JoinWindows windows) {
        add("stream-join-" + name, b -> out(stream(b, "a")
            .join(stream(b, "b"), Topologies::both, windows, StreamJoined.with(TEXT, TEXT, TEXT))));
        add("stream-left-join-" + name, b -> out(stream(b, "a")
            .leftJoin(stream(b, "b"), Topologies::both, windows, StreamJoined.with(TEXT, TEXT, TEXT))));
        add("stream-outer-join-" + name, b -> out(stream(b, "a")
            .outerJoin(stream(b, "b"), Topologies::both, windows, StreamJoined.with(TEXT, TEXT, TEXT))));
    }

    static void addAll() {
        streams("no-grace", JoinWindows.ofTimeDifferenceWithNoGrace(ofMillis(10)));
        streams("grace", JoinWindows.ofTimeDifferenceAndGrace(ofMillis(10), ofMillis(6)));
        streams("uneven", JoinWindows.ofTimeDifferenceAndGrace(ofMillis(10), ofMillis(15)).before(ofMillis(0)));
        streams("same-time", JoinWindows.ofTimeDifferenceAndGrace(ofMillis(0), ofMillis(8)));
        streams("long-before", JoinWindows.ofTimeDifferenceAndGrace(ofMillis(3), ofMillis(5)).before(ofMillis(15)));
        add("stream-self-join", b -> {
            var stream = stream(b, "a");
            out(stream.join(stream, Topologies::both, JoinWindows.ofTimeDifferenceAndGrace(ofMillis(5), ofMillis(10)),
                StreamJoined.with(TEXT, TEXT, TEXT)));
        });
        add("stream-join-rekeyed", b -> out(stream(b, "a").selectKey((k, v) -> first(v))
            .join(stream(b, "b"), Topologies::both, JoinWindows.ofTimeDifferenceAndGrace(ofMillis(10), ofMillis(6)),
                StreamJoined.with(TEXT, TEXT, TEXT))));
        add("table-join", b -> out(stream(b, "a").join(table(b, "b"), Topologies::both, Joined.with(TEXT, TEXT, TEXT))));
        add("table-left-join", b -> out(stream(b, "a").leftJoin(table(b, "b"), Topologies::both, Joined.with(TEXT, TEXT, TEXT))));
        add("table-join-rekeyed", b -> out(stream(b, "a").selectKey((k, v) -> first(v))
            .join(table(b, "b"), Topologies::both, Joined.with(TEXT, TEXT, TEXT))));
        add("table-left-join-rekeyed", b -> out(stream(b, "a").selectKey((k, v) -> first(v))
            .leftJoin(table(b, "b"), Topologies::both, Joined.with(TEXT, TEXT, TEXT))));
        add("table-join-filtered", b -> out(stream(b, "a").join(table(b, "b").filter((k, v) -> even(v)), Topologies::both,
            Joined.with(TEXT, TEXT, TEXT))));
        add("table-join-aggregated", b -> out(stream(b, "a").leftJoin(stream(b, "b").groupByKey(grouped())
            .reduce((state, v) -> state + v), Topologies::both, Joined.with(TEXT, TEXT, TEXT))));
    }
}
