"""Computes golden.json: the results of the queries over all events at once, by DuckDB, as the Nexmark benchmark defines them.

    millstream run load.sql --data DIR --until-idle
    for t in person auction bid; do millstream topic consume $t --data DIR --from-beginning --output json > DUMP/$t.ndjson; done
    pip install duckdb && python3 golden.py DUMP

Joins are joins of all rows with all rows here, ranks are window functions, ties are kept: nothing follows the detours of the SQL files.

A row is text: its columns joined with `|`, whole numbers in decimal, doubles with six decimals, null as `NULL`. Key columns come first,
then the window's start and end, then the value columns, each in the order of the projection. The hash of a result is the sum of the 64-bit
FNV-1a hashes of its rows, modulo 2^64. Arrays and structs are JSON without spaces, fields in the order of their names.
"""

import json
import sys
from pathlib import Path

import duckdb

EVENTS, SEED = 100_000, 42

COLUMNS = {
    "person": "id BIGINT, name VARCHAR, city VARCHAR, state VARCHAR, dateTime BIGINT",
    "auction": "id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, dateTime BIGINT, expires BIGINT,"
    " seller BIGINT, category BIGINT, extra VARCHAR",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, dateTime BIGINT, extra VARCHAR",
}

PRICE_RANGES = ["price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000"]


def in_all_and_by_range(call):
    """An aggregate over all rows, then over those of each price range."""
    return ", ".join([call] + [f"{call} FILTER (WHERE {one})" for one in PRICE_RANGES])


def tumbling(group, values, source="bid", having=""):
    start = "dateTime - dateTime % 10000"
    return f"SELECT {group}, {start} AS s, {start} + 10000, {values} FROM {source} GROUP BY ALL {having}"


BIDS, BIDDERS, AUCTIONS = map(in_all_and_by_range, ["count(*)", "count(DISTINCT bidder)", "count(DISTINCT auction)"])
OF_OPEN = "bid b JOIN auction a ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires"
CHANNEL_ID = "nullif(regexp_extract(url, '(&|^)channel_id=([^&]*)', 2), '')"

QUERIES = {
    "q0": "SELECT auction, auction, bidder, price, dateTime, extra FROM bid",
    "q1": "SELECT auction, auction, bidder, 0.908::DOUBLE * price, dateTime, extra FROM bid",
    "q2": "SELECT auction, auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """SELECT p.id, p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
             WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    "q4": f"""SELECT category, sum(final)::DOUBLE / count(*)
              FROM (SELECT a.id, a.category, max(b.price) AS final FROM {OF_OPEN} GROUP BY a.id, a.category) GROUP BY category""",
    "q5": """SELECT s, string_agg(auction, ',' ORDER BY auction::VARCHAR), num
             FROM (SELECT *, max(num) OVER (PARTITION BY s) AS most
                   FROM (SELECT auction, dateTime - dateTime % 2000 - hop * 2000 AS s, count(*) AS num
                         FROM bid CROSS JOIN range(5) AS hops (hop) GROUP BY ALL))
             WHERE num = most GROUP BY s, num""",
    "q7": """SELECT 'ALL', s, s + 10000, auction, price, bidder, dateTime, extra
             FROM (SELECT *, max(price) OVER (PARTITION BY s) AS highest FROM (SELECT *, dateTime - dateTime % 10000 AS s FROM bid))
             WHERE price = highest""",
    "q8": """SELECT p.id, p.s, p.s + 10000, p.name
             FROM (SELECT DISTINCT id, name, dateTime - dateTime % 10000 AS s FROM person) p
             JOIN (SELECT DISTINCT seller, dateTime - dateTime % 10000 AS s FROM auction) a ON p.id = a.seller AND p.s = a.s""",
    "q9": f"""SELECT id, itemName, description, initialBid, reserve, auction_time, expires, seller, category, auction_extra,
                     bidder, price, bid_time, bid_extra
              FROM (SELECT a.*, a.dateTime AS auction_time, a.extra AS auction_extra, b.bidder, b.price, b.dateTime AS bid_time,
                           b.extra AS bid_extra, row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime) AS place
                    FROM {OF_OPEN})
              WHERE place = 1""",
    "q10": """SELECT auction, auction, bidder, price, dateTime, extra,
                     strftime(make_timestamp(dateTime * 1000), '%Y-%m-%d'), strftime(make_timestamp(dateTime * 1000), '%H:%M') FROM bid""",
    "q12": tumbling("bidder", "count(*)"),
    "q13": "SELECT auction % 10000, auction, bidder, price, dateTime, (auction % 10000)::VARCHAR FROM bid",
    "q14": """SELECT auction, auction, bidder, euros,
                     CASE WHEN hour BETWEEN 8 AND 18 THEN 'dayTime' WHEN hour <= 6 OR hour >= 20 THEN 'nightTime' ELSE 'otherTime' END,
                     dateTime, extra, len(list_filter(string_split(extra, ''), lambda letter: letter = 'c'))
              FROM (SELECT *, 0.908::DOUBLE * price AS euros, hour(make_timestamp(dateTime * 1000)) AS hour FROM bid)
              WHERE euros > 1000000 AND euros < 50000000""",
    "q15": f"SELECT day, {BIDS}, {BIDDERS}, {AUCTIONS} FROM dated GROUP BY day",
    "q16": f"SELECT channel, day, max(minute), {BIDS}, {BIDDERS}, {AUCTIONS} FROM dated GROUP BY channel, day",
    "q17": f"""SELECT auction, day, {BIDS}, min(price), max(price), sum(price)::DOUBLE / count(*), sum(price)
               FROM dated GROUP BY auction, day""",
    "q18": """SELECT bidder, auction, price, channel, url, dateTime, extra
              FROM (SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, price DESC) AS place FROM bid)
              WHERE place = 1""",
    "q19": """SELECT auction, list({'BIDDER': bidder, 'CHANNEL': channel, 'DATETIME': dateTime, 'EXTRA': extra, 'PRICE': price}
                                   ORDER BY place)
              FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, bidder DESC, dateTime DESC) AS place FROM bid)
              WHERE place <= 10 GROUP BY auction""",
    "q20": """SELECT b.auction, b.auction, b.bidder, b.price, b.channel, b.url, b.dateTime, b.extra, a.itemName, a.description,
                     a.initialBid, a.reserve, a.dateTime, a.expires, a.seller, a.category, a.extra
              FROM bid b JOIN auction a ON a.id = b.auction WHERE a.category = 10""",
    "q21": f"""SELECT auction, auction, bidder, price, channel, coalesce(known, in_url)
               FROM (SELECT *, map {{'apple': '0', 'google': '1', 'facebook': '2', 'baidu': '3'}}[lower(channel)] AS known,
                            {CHANNEL_ID} AS in_url FROM bid)
               WHERE known IS NOT NULL OR in_url IS NOT NULL""",
    "q22": """SELECT auction, auction, bidder, price, channel, string_split(url, '/')[4], string_split(url, '/')[5],
                     string_split(url, '/')[6] FROM bid""",
}


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def fnv1a(data):
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state


def table_hash(rows):
    """The number of rows and their hash; a row is a sequence of values."""
    count = total = 0
    for row in rows:
        count += 1
        total += fnv1a("|".join(map(text, row)).encode())
    return count, f"{total & 0xFFFFFFFFFFFFFFFF:016x}"


def count(database, rows):
    return database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]


def load(database, folder):
    for topic, columns in COLUMNS.items():
        names = [column.split()[0] for column in columns.split(", ")]
        fields = ", ".join(f"(value->>'{name}')::{kind} AS {name}" for name, kind in (c.split() for c in columns.split(", ")))
        file = str(Path(folder) / f"{topic}.ndjson").replace("'", "''")
        records = f"SELECT value::JSON AS value FROM read_ndjson('{file}', columns = {{'value': 'VARCHAR'}})"
        database.execute(f"CREATE TABLE {topic} AS SELECT {fields} FROM ({records})")
        missing = " OR ".join(f"{name} IS NULL" for name in names)
        assert count(database, f"{topic} WHERE {missing}") == 0, f"{topic} has nulls"
    total = sum(count(database, topic) for topic in COLUMNS)
    assert total == EVENTS, f"{total} events, not {EVENTS}"
    database.execute(
        """CREATE VIEW dated AS SELECT *, strftime(make_timestamp(dateTime * 1000), '%Y-%m-%d') AS day,
           strftime(make_timestamp(dateTime * 1000), '%H:%M') AS minute FROM bid"""
    )


def main(folder):
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    load(database, folder)
    golden = {}
    for name, query in QUERIES.items():
        rows, digest = table_hash(database.execute(query).fetchall())
        golden[name] = {"events": EVENTS, "seed": SEED, "rows": rows, "table_hash": digest}
        print(name, rows, digest)
    lines = ",\n".join(f'  "{name}": {json.dumps(entry)}' for name, entry in golden.items())
    Path(__file__).with_name("golden.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1])
