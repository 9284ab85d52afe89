import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;

/** All topologies by name, and what they are made of. The same names, in Rust, are in core/tests/kafka_streams. */
class Topologies {
    private static final Map<String, Consumer<StreamsBuilder>> ALL = new TreeMap<>();
    private static final Set<String> ON_DISK = new TreeSet<>();

    static {
        Stateless.addAll();
        Aggregations.addAll();
        TimeWindowed.addAll();
        Processors.addAll();
        SessionWindowed.addAll();
        Suppressions.addAll();
        GlobalAndVersioned.addAll();
        Tables.addAll();
        StreamJoins.addAll();
        TableJoins.addAll();
    }

    Topologies() {}

    static void add(String name, Consumer<StreamsBuilder> topology) {
        if (ALL.put(name, topology) != null) {
            throw new IllegalStateException("two topologies are called " + name);
        }
    }

    /** A topology whose stores are on disk: final results are not to be had from those in memory, which forget windows as they close. */
    static void addOnDisk(String name, Consumer<StreamsBuilder> topology) {
        add(name, topology);
        ON_DISK.add(name);
    }

    static boolean isOnDisk(String name) {
        return ON_DISK.contains(name);
    }

    static Consumer<StreamsBuilder> named(String name) {
        return ALL.get(name);
    }

    static final Serde<String> TEXT = Serdes.String();
    static final Serde<Long> NUMBER = Serdes.Long();

    static KStream<String, String> stream(StreamsBuilder builder, String topic) {
        return builder.stream(topic, Consumed.with(TEXT, TEXT));
    }

    static KTable<String, String> table(StreamsBuilder builder, String topic) {
        return builder.table(topic, Consumed.with(TEXT, TEXT));
    }

    static Grouped<String, String> grouped() {
        return Grouped.with(TEXT, TEXT);
    }

    static void out(KStream<String, String> stream) {
        out(stream, "out");
    }

    static void out(KStream<String, String> stream, String topic) {
        stream.to(topic, Produced.with(TEXT, TEXT));
    }

    static void out(KTable<String, String> table) {
        out(table.toStream());
    }

    static void numbers(KTable<String, Long> table) {
        table.toStream().to("out", Produced.with(TEXT, NUMBER));
    }

    /** Time windows are written with the start of the window alone: how long they are does not show. */
    static void windowed(KTable<Windowed<String>, String> table) {
        table.toStream().to("out", Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 1), TEXT));
    }

    static void windowedNumbers(KTable<Windowed<String>, Long> table) {
        table.toStream().to("out", Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 1), NUMBER));
    }

    static void sessions(KTable<Windowed<String>, String> table) {
        table.toStream().to("out", Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), TEXT));
    }

    static void sessionNumbers(KTable<Windowed<String>, Long> table) {
        table.toStream().to("out", Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), NUMBER));
    }

    /** A value as text, when there is none as well. */
    static String text(String value) {
        return value == null ? "~" : value;
    }

    /** Whether the last character of a text has an even code; nothing and the empty text do not. */
    static boolean even(String value) {
        return value != null && !value.isEmpty() && value.charAt(value.length() - 1) % 2 == 0;
    }

    /** The first character of a text. */
    static String first(String value) {
        return value == null || value.isEmpty() ? "" : value.substring(0, 1);
    }

    /** The key of another table that a value names by its first letter; `-` names none. */
    static String foreignKey(String value) {
        String first = first(value);
        return first.equals("-") ? null : first;
    }

    static String both(String left, String right) {
        return text(left) + "+" + text(right);
    }
}
