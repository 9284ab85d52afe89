// What a peer took, from `start` to `print`, and apart from it what came before: the JVM's start, for Flink also its cluster and plan.

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

final class Measured {
    private final long startNanos = System.nanoTime();
    private final double startWall = (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1e3;
    private final double startCpu = cpuSeconds();
    private final double startJit = jitSeconds();

    static Measured start() throws IOException {
        return new Measured();
    }

    private Measured() throws IOException {}

    void print() throws IOException {
        System.out.printf("{\"wall_seconds\":%.3f,\"cpu_seconds\":%.3f,\"jit_cpu_seconds\":%.3f,\"start_wall_seconds\":%.3f,"
                        + "\"start_cpu_seconds\":%.3f}%n",
                (System.nanoTime() - startNanos) / 1e9, cpuSeconds() - startCpu, jitSeconds() - startJit, startWall, startCpu);
    }

    private static double cpuSeconds() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    // CPU of the two threads that compile, which on one core are there from the start to the end. In clock ticks, of which Linux shows
    // 100 a second whatever the kernel's own rate.
    private static double jitSeconds() throws IOException {
        long ticks = 0;
        try (var threads = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path thread : threads) {
                String stat;
                try {
                    stat = Files.readString(thread.resolve("stat"));
                } catch (IOException gone) {
                    continue;
                }
                if (stat.contains("CompilerThre")) {
                    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
                    ticks += Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
                }
            }
        }
        return ticks / 100.0;
    }
}
