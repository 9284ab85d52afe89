// The workloads on Flink SQL: a local cluster in this process, parallelism 1, RocksDB, an incremental exactly-once checkpoint each second.
//
//   FlinkPeer WORKLOAD INPUT_DIR OUTPUT_TOPIC STATE_DIR MINI_BATCH(on|off)
//
// Reads INPUT_DIR/bids.ndjson (and bidders.ndjson) once through the filesystem connector, writes to Kafka in transactions. Windows are
// table functions, which emit each window once, when the watermark passes its end. Prints what it took as one JSON object.

import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

public final class FlinkPeer {
    private static final String BIDS = """
            CREATE TABLE bids (
              auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, date_time BIGINT, extra STRING,
              ts AS TO_TIMESTAMP_LTZ(date_time, 3),
              WATERMARK FOR ts AS ts - INTERVAL '10' SECOND
            ) WITH ('connector' = 'filesystem', 'path' = 'file://%s/bids.ndjson', 'format' = 'json')""";

    // A versioned table whose rows are all older than the first bid; its watermark reaches the bids' at the end of the file.
    private static final String BIDDERS = """
            CREATE TABLE bidders (
              id BIGINT, name STRING, city STRING,
              since AS TO_TIMESTAMP_LTZ(0, 3),
              WATERMARK FOR since AS since,
              PRIMARY KEY (id) NOT ENFORCED
            ) WITH ('connector' = 'filesystem', 'path' = 'file://%s/bidders.ndjson', 'format' = 'json')""";

    private static final String SINK = """
            CREATE TABLE output_topic (%s) WITH (
              'topic' = '%s', 'properties.bootstrap.servers' = '%s', %s,
              'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '%2$s',
              'properties.transaction.timeout.ms' = '600000')""";
    private static final String APPENDS = "'connector' = 'kafka', 'format' = 'json'";
    private static final String UPSERTS = "'connector' = 'upsert-kafka', 'key.format' = 'json', 'value.format' = 'json'";

    public static void main(String[] args) throws Exception {
        String workload = args[0];
        String input = args[1];
        Configuration config = configuration(args[3], args[4].equals("on"));
        TableEnvironment env =
                TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(config).build());
        env.executeSql(BIDS.formatted(input));
        if (workload.equals("w3")) {
            env.executeSql(BIDDERS.formatted(input));
        }
        String connector = workload.equals("w4") ? UPSERTS : APPENDS;
        env.executeSql(SINK.formatted(columns(workload), args[2], System.getProperty("bootstrap"), connector));

        TableResult job = env.executeSql("INSERT INTO output_topic " + query(workload));
        // The cluster is up, the plan made and the job submitted: what came before is the start.
        Measured measured = Measured.start();
        job.await();
        measured.print();
        System.exit(0);
    }

    private static Configuration configuration(String stateDir, boolean miniBatch) {
        Configuration config = new Configuration();
        config.setString("parallelism.default", "1");
        config.setString("pipeline.object-reuse", "true");
        config.setString("state.backend.type", "rocksdb");
        config.setString("state.backend.rocksdb.localdir", stateDir + "/rocksdb");
        config.setString("execution.checkpointing.incremental", "true");
        config.setString("execution.checkpointing.interval", "1 s");
        config.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        config.setString("execution.checkpointing.dir", "file://" + stateDir + "/checkpoints");
        // What a task manager of the default size gives to RocksDB; a local cluster would have a quarter of it.
        config.setString("taskmanager.memory.managed.size", "512m");
        config.setString("table.local-time-zone", "UTC");
        if (miniBatch) {
            config.setString("table.exec.mini-batch.enabled", "true");
            config.setString("table.exec.mini-batch.allow-latency", "2 s");
            config.setString("table.exec.mini-batch.size", "50000");
        }
        return config;
    }

    private static String columns(String workload) {
        return switch (workload) {
            case "w0" -> "auction BIGINT, price DOUBLE, bidder BIGINT";
            case "w1" -> "auction BIGINT, windowstart TIMESTAMP(3), windowend TIMESTAMP(3), `count` BIGINT, `sum` BIGINT, `max` BIGINT";
            case "w2" -> "auction BIGINT, windowstart TIMESTAMP(3), windowend TIMESTAMP(3), `count` BIGINT";
            case "w3" -> "city STRING, windowstart TIMESTAMP(3), windowend TIMESTAMP(3), `count` BIGINT";
            case "w4" -> "auction BIGINT, bidder BIGINT, `count` BIGINT, `sum` BIGINT, PRIMARY KEY (auction, bidder) NOT ENFORCED";
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        };
    }

    private static String query(String workload) {
        return switch (workload) {
            case "w0" -> "SELECT auction, CAST(price AS DOUBLE) * CAST(0.908 AS DOUBLE), bidder FROM bids WHERE MOD(auction, 123) = 0";
            case "w1" -> """
                    SELECT auction, window_start, window_end, COUNT(*), SUM(price), MAX(price)
                    FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                    GROUP BY auction, window_start, window_end""";
            case "w2" -> """
                    SELECT auction, window_start, window_end, COUNT(*)
                    FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
                    GROUP BY auction, window_start, window_end""";
            case "w3" -> """
                    WITH located AS (
                      SELECT city, ts FROM bids JOIN bidders FOR SYSTEM_TIME AS OF bids.ts ON bids.bidder = bidders.id)
                    SELECT city, window_start, window_end, COUNT(*)
                    FROM TABLE(TUMBLE(TABLE located, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                    GROUP BY city, window_start, window_end""";
            case "w4" -> "SELECT auction, bidder, COUNT(*), SUM(price) FROM bids GROUP BY auction, bidder";
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        };
    }
}
