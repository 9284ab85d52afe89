"""Cuts the demo's two files out of the npm package vega-datasets; see DATA.md.

Usage: python3 cut.py PACKAGE_DIRECTORY OUTPUT_DIRECTORY     (needs pyarrow)
"""

import csv
import datetime
import pathlib
import sys

import pyarrow.parquet

FIRST = datetime.datetime(2001, 1, 1)
END = datetime.datetime(2001, 2, 1)


def epoch_ms(local: datetime.datetime) -> int:
    """The local clock time read as if it were UTC: the data names no time zone."""
    return int(local.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)


def cut_flights(package: pathlib.Path, output: pathlib.Path) -> int:
    """January 2001, in the order of the file, one JSON object a line."""
    table = pyarrow.parquet.read_table(package / "data" / "flights-3m.parquet")
    names = ("date", "origin", "destination", "delay", "distance")
    rows = 0
    with open(output / "flights.ndjson", "w", newline="\n") as lines:
        for date, origin, destination, delay, distance in zip(*(table[name].to_pylist() for name in names)):
            if date >= END:
                break
            lines.write(
                f'{{"departs":{epoch_ms(date)},"origin":"{origin}","destination":"{destination}",'
                f'"delay":{delay},"distance":{distance}}}\n'
            )
            rows += 1
    return rows


def cut_airports(package: pathlib.Path, output: pathlib.Path) -> int:
    """Every airport, with one column more: since when the row holds, which is the start of the flights."""
    rows = 0
    with open(package / "data" / "airports.csv", newline="") as source, open(
        output / "airports.csv", "w", newline=""
    ) as target:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, fieldnames=[*reader.fieldnames, "since"], lineterminator="\n")
        writer.writeheader()
        for row in reader:
            writer.writerow({**row, "since": epoch_ms(FIRST)})
            rows += 1
    return rows


if __name__ == "__main__":
    package, output = (pathlib.Path(argument) for argument in sys.argv[1:3])
    print(f"{cut_flights(package, output)} flights, {cut_airports(package, output)} airports")
