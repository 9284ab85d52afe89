import org.apache.kafka.streams.kstream.Materialized;

/** Joins of tables, by their keys and by foreign keys. */
final class TableJoins extends Topologies {
    private static String third(String both, String third) {
        return "(" + text(both) + ")" + text(third);
    }

    static void addAll() {
        add("tables-join", b -> out(table(b, "a").join(table(b, "b"), Topologies::both)));
        add("tables-left-join", b -> out(table(b, "a").leftJoin(table(b, "b"), Topologies::both)));
        add("tables-outer-join", b -> out(table(b, "a").outerJoin(table(b, "b"), Topologies::both)));
        add("tables-join-materialized", b -> out(table(b, "a").join(table(b, "b"), Topologies::both, Materialized.with(TEXT, TEXT))));
        add("tables-join-filtered", b -> out(table(b, "a").filter((k, v) -> even(v))
            .leftJoin(table(b, "b").filter((k, v) -> !even(v)), Topologies::both)));
        add("tables-join-aggregated", b -> out(stream(b, "a").groupByKey(grouped()).reduce((state, v) -> state + v)
            .outerJoin(table(b, "b"), Topologies::both)));
        add("tables-join-then-filter", b -> out(table(b, "a").outerJoin(table(b, "b"), Topologies::both).filter((k, v) -> even(v))));
        add("tables-join-three", b -> out(table(b, "a").leftJoin(table(b, "b"), Topologies::both, Materialized.as("pairs"))
            .outerJoin(table(b, "c"), TableJoins::third)));
        add("foreign-key-join", b -> out(table(b, "a").join(table(b, "b"), Topologies::foreignKey, Topologies::both,
            Materialized.with(TEXT, TEXT))));
        add("foreign-key-left-join", b -> out(table(b, "a").leftJoin(table(b, "b"), Topologies::foreignKey, Topologies::both,
            Materialized.with(TEXT, TEXT))));
        add("foreign-key-join-filtered", b -> out(table(b, "a").filter((k, v) -> even(v))
            .join(table(b, "b"), Topologies::foreignKey, Topologies::both, Materialized.with(TEXT, TEXT))));
    }
}
