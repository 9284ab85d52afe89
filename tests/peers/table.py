"""Collects the measurements of tests/peers/run and prints them as one table.

table.py record RESULTS WORKLOAD NAME STATUS JSON..   appends one line; later files add to the earlier
table.py print RESULTS EVENTS                         prints the table; status 1 if a run failed or a table differs from Millstream's
"""

import json
import sys

COLUMNS = [
    ("", "left", lambda r, base: r["name"]),
    ("wall s", "right", lambda r, base: number(r["wall_seconds"], 2)),
    ("CPU s", "right", lambda r, base: number(r["cpu_seconds"], 2)),
    ("of it JIT", "right", lambda r, base: number(r.get("jit_cpu_seconds"), 2)),
    ("start wall", "right", lambda r, base: number(r.get("start_wall_seconds"), 2)),
    ("start CPU", "right", lambda r, base: number(r.get("start_cpu_seconds"), 2)),
    ("broker CPU", "right", lambda r, base: number(r.get("broker_cpu_seconds"), 2)),
    ("rows/s", "right", lambda r, base: number(r["events"] / r["wall_seconds"], 0)),
    ("rows/CPU s", "right", lambda r, base: number(r["events"] / r["cpu_seconds"], 0)),
    ("Millstream is", "right", lambda r, base: times(r, base, 0)),
    ("without JIT", "right", lambda r, base: times(r, base, r.get("jit_cpu_seconds", 0))),
    ("records out", "right", lambda r, base: number(r.get("records"), 0)),
    ("table rows", "right", lambda r, base: number(r.get("rows"), 0)),
    ("table hash", "left", lambda r, base: r.get("table_hash", "-")),
    ("same", "left", lambda r, base: same(r, base)),
]


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def times(run, base, not_counted):
    if base is None or run is base:
        return "-"
    return f"{(run['cpu_seconds'] - not_counted) / base['cpu_seconds']:.1f} x"


def agrees(run, base):
    return run.get("rows") == base.get("rows") and run.get("table_hash") == base.get("table_hash")


def same(run, base):
    if base is None or run is base:
        return "-"
    return "yes" if agrees(run, base) else "NO"


def record(results, workload, name, status, *files):
    run = {"workload": workload, "name": name, "status": int(status)}
    if run["status"] == 0:
        for file in files:
            with open(file) as opened:
                run.update(json.load(opened))
        # Millstream's words for it. It loads the topics itself, before it measures.
        for theirs, ours in [("output_rows", "rows"), ("output_records", "records"), ("load_seconds", "start_wall_seconds")]:
            if theirs in run:
                run[ours] = run[theirs]
    with open(results, "a") as out:
        print(json.dumps(run), file=out)


def median(runs):
    """The middle one of runs sorted by CPU, its name saying how far they were apart; none of none."""
    if not runs:
        return None
    middle = dict(runs[len(runs) // 2])
    if len(runs) > 1:
        middle["name"] += f" ({len(runs)} runs, CPU {runs[0]['cpu_seconds']:.2f} to {runs[-1]['cpu_seconds']:.2f})"
    return middle


def print_table(results, events):
    with open(results) as lines:
        runs = [json.loads(line) for line in lines]
    good = True
    print(f"{int(events):,} bids")
    for workload in dict.fromkeys(run["workload"] for run in runs):
        of_workload = [run for run in runs if run["workload"] == workload]
        measured = [dict(run, events=int(events)) for run in of_workload if run["status"] == 0]
        own = sorted((run for run in measured if run["name"] == "millstream"), key=lambda run: run["cpu_seconds"])
        base = median(own)
        measured = [base] * (base is not None) + [run for run in measured if run["name"] != "millstream"]
        rows = [[title for title, _, _ in COLUMNS]] + [[cell(run, base) for _, _, cell in COLUMNS] for run in measured]
        rows[0][0] = workload
        widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
        print()
        for row in rows:
            cells = (text.ljust(w) if side == "left" else text.rjust(w) for text, w, (_, side, _) in zip(row, widths, COLUMNS))
            print("  ".join(cells).rstrip())
        for run in of_workload:
            if run["status"] != 0:
                print(f"{run['name']}: failed with status {run['status']}")
        good = good and base is not None and all(run["status"] == 0 for run in of_workload)
        good = good and all(agrees(run, base) for run in own + measured)
    return good


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(*sys.argv[2:])
    else:
        sys.exit(0 if print_table(*sys.argv[2:]) else 1)
