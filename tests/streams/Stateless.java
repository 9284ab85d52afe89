import static org.apache.kafka.streams.kstream.Branched.as;

import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Repartitioned;

/** Operators that remember nothing. */
final class Stateless extends Topologies {
    static void addAll() {
        add("filter", b -> out(stream(b, "a").filter((k, v) -> even(v))));
        add("filter-not", b -> out(stream(b, "a").filterNot((k, v) -> even(v))));
        add("map-values", b -> out(stream(b, "a").mapValues(v -> text(v) + "!")));
        add("map-values-to-null", b -> out(stream(b, "a").mapValues(v -> even(v) ? null : v)));
        add("map", b -> out(stream(b, "a").map((k, v) -> KeyValue.pair(first(v), text(k) + text(v)))));
        add("map-to-null-key", b -> out(stream(b, "a").map((k, v) -> KeyValue.pair(even(v) ? null : k, v))));
        add("flat-map", b -> out(stream(b, "a").flatMap((k, v) -> {
            List<KeyValue<String, String>> made = new ArrayList<>();
            for (char c : text(v).toCharArray()) {
                made.add(KeyValue.pair(text(k) + c, v));
            }
            return made;
        })));
        add("flat-map-values", b -> out(stream(b, "a").flatMapValues(v -> List.of(text(v), text(v) + text(v)))));
        add("select-key", b -> out(stream(b, "a").selectKey((k, v) -> first(v))));
        add("merge", b -> out(stream(b, "a").merge(stream(b, "b"))));
        add("merge-after-map", b -> out(stream(b, "a").mapValues(v -> "a" + text(v)).merge(stream(b, "b").filter((k, v) -> even(v)))));
        add("split", b -> {
            var branches = stream(b, "a").split(Named.as("s-"))
                .branch((k, v) -> first(v).equals("a"), as("a"))
                .branch((k, v) -> even(v), as("even"))
                .noDefaultBranch();
            out(branches.get("s-a"), "out");
            out(branches.get("s-even"), "out2");
        });
        add("split-default", b -> {
            var branches = stream(b, "a").split(Named.as("s-"))
                .branch((k, v) -> first(v).equals("a"), as("a"))
                .defaultBranch(Branched.as("rest"));
            out(branches.get("s-a"), "out");
            out(branches.get("s-rest"), "out2");
        });
        add("repartition", b -> out(stream(b, "a").selectKey((k, v) -> first(v)).repartition(Repartitioned.with(TEXT, TEXT))));
        add("to-table", b -> out(stream(b, "a").toTable(Materialized.with(TEXT, TEXT))));
        add("select-key-to-table", b -> out(stream(b, "a").selectKey((k, v) -> first(v)).toTable(Materialized.with(TEXT, TEXT))));
    }
}
