-- Cases of SQL that run on a cluster as they run in memory; see `sql.rs`.

--@test: filter and projection
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE STREAM o AS SELECT k, v + 1 AS w FROM s WHERE v > 1;
INSERT INTO s (k, v) VALUES ('a', 1);
INSERT INTO s (k, v) VALUES ('b', 2);
ASSERT VALUES o (k, w) VALUES ('b', 3);

--@test: a table revises its rows through a repartition topic
CREATE STREAM s (k STRING KEY, city STRING, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE t AS SELECT city, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY city;
INSERT INTO s (k, city, v) VALUES ('1', 'Rome', 30);
INSERT INTO s (k, city, v) VALUES ('2', 'Oslo', 5);
INSERT INTO s (k, city, v) VALUES ('3', 'Rome', 12);
ASSERT VALUES t (city, n, total) VALUES ('Rome', 1, 30);
ASSERT VALUES t (city, n, total) VALUES ('Oslo', 1, 5);
ASSERT VALUES t (city, n, total) VALUES ('Rome', 2, 42);

--@test: a stream meets the row of a table at its moment
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE t (k STRING PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE STREAM o AS SELECT s.k AS k, v, name FROM s LEFT JOIN t ON s.k = t.k;
INSERT INTO s (ROWTIME, k, v) VALUES (0, 'a', 1);
INSERT INTO t (ROWTIME, k, name) VALUES (10, 'a', 'ada');
INSERT INTO s (ROWTIME, k, v) VALUES (20, 'a', 2);
ASSERT VALUES o (ROWTIME, k, v, name) VALUES (0, 'a', 1, NULL);
ASSERT VALUES o (ROWTIME, k, v, name) VALUES (20, 'a', 2, 'ada');

--@test: windows are cut by the timestamps of records
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 0 SECONDS) GROUP BY k;
INSERT INTO s (ROWTIME, k, v) VALUES (1000, 'a', 1);
INSERT INTO s (ROWTIME, k, v) VALUES (9000, 'a', 1);
INSERT INTO s (ROWTIME, k, v) VALUES (12000, 'a', 1);
INSERT INTO s (ROWTIME, k, v) VALUES (2000, 'a', 1);
ASSERT VALUES t (k, n) VALUES ('a', 1);
ASSERT VALUES t (k, n) VALUES ('a', 2);
ASSERT VALUES t (k, n) VALUES ('a', 1);

--@test: tables joined by a foreign key
CREATE TABLE l (id INT PRIMARY KEY, owner STRING) WITH (KAFKA_TOPIC = 'l', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE r (owner STRING PRIMARY KEY, city STRING) WITH (KAFKA_TOPIC = 'r', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE j AS SELECT l.id AS id, r.city AS city FROM l JOIN r ON l.owner = r.owner;
INSERT INTO l (id, owner) VALUES (1, 'ada');
INSERT INTO r (owner, city) VALUES ('ada', 'Rome');
INSERT INTO r (owner, city) VALUES ('ada', 'Oslo');
ASSERT VALUES j (id, city) VALUES (1, 'Rome');
ASSERT VALUES j (id, city) VALUES (1, 'Oslo');

--@test: queries of queries
CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE STREAM big AS SELECT * FROM s WHERE v > 1;
CREATE TABLE t AS SELECT k, MAX(v) AS top FROM big GROUP BY k;
INSERT INTO s (k, v) VALUES ('a', 5);
INSERT INTO s (k, v) VALUES ('a', 1);
INSERT INTO s (k, v) VALUES ('a', 3);
ASSERT VALUES big (k, v) VALUES ('a', 5);
ASSERT VALUES big (k, v) VALUES ('a', 3);
ASSERT VALUES t (k, top) VALUES ('a', 5);
ASSERT VALUES t (k, top) VALUES ('a', 5);
