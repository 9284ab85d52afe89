--@test: a function is called in a projection and a filter
CREATE STREAM s (k STRING KEY, n INT, b BIGINT, t STRING) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, TEST_UDF(n, t) AS one, TEST_UDF(b, t) AS two, test_udf(n, b, t) AS three, TEST_UDF(b, b, n) AS four
  FROM s WHERE TEST_UDF(TOSTRUCT(t)) = 'yes';
INSERT INTO s (k, n, b, t) VALUES ('a', 1, 2, 'yes');
INSERT INTO s (k, n, b, t) VALUES ('b', 1, 2, 'no');
INSERT INTO s (k, n, b, t) VALUES ('c', NULL, NULL, 'yes');
ASSERT VALUES o (k, one, two, three, four)
  VALUES ('a', 'doStuffIntString', 'doStuffLongString', 'doStuffLongLongString', 'doStuffLongVarargs');
ASSERT VALUES o (k, one) VALUES ('c', 'doStuffIntString');

--@test: a function without arguments, a field of what it gives
CREATE STREAM s (k STRING KEY, t STRING) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, TEST_UDF()->A AS foo, TOSTRUCT(t)->A AS t FROM s;
INSERT INTO s (k, t) VALUES ('a', 'x');
INSERT INTO s (k, t) VALUES ('b', NULL);
ASSERT VALUES o (k, foo, t) VALUES ('a', 'foo', 'x');
ASSERT VALUES o (k, foo, t) VALUES ('b', 'foo', NULL);

--@test: a row for which a function fails is null there, its neighbours are not
CREATE STREAM s (k STRING KEY, fails BOOLEAN) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, BAD_UDF(fails) AS zero FROM s;
INSERT INTO s (k, fails) VALUES ('a', false);
INSERT INTO s (k, fails) VALUES ('b', true);
INSERT INTO s (k, fails) VALUES ('c', false);
ASSERT VALUES o (k, zero) VALUES ('a', 0);
ASSERT VALUES o (k, zero) VALUES ('b', NULL);
ASSERT VALUES o (k, zero) VALUES ('c', 0);

--@test: CASE does not evaluate what it does not reach, neither constants nor columns
CREATE STREAM s (k STRING KEY, n INT, ok BOOLEAN) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k,
  CASE WHEN WHENCONDITION(false, true) THEN WHENRESULT(1, false) WHEN n > 0 THEN WHENRESULT(n, ok) ELSE WHENRESULT(-1, true) END AS r
  FROM s;
INSERT INTO s (k, n, ok) VALUES ('a', 5, true);
INSERT INTO s (k, n, ok) VALUES ('b', 0, false);
INSERT INTO s (k, n, ok) VALUES ('c', 7, false);
ASSERT VALUES o (k, r) VALUES ('a', 5);
ASSERT VALUES o (k, r) VALUES ('b', -1);
ASSERT VALUES o (k, r) VALUES ('c', NULL);

--@test: a table function makes rows, also of constants and of what another function gives
CREATE STREAM s (k STRING KEY, n INT, fails BOOLEAN) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, TEST_UDTF(n) + 1 AS more, test_udtf(3, 4, 1.5E0, true, 'x', 2.50, STRUCT(A := 'b')) AS shown FROM s;
CREATE STREAM p AS SELECT k, THROWING_UDTF(fails) AS fails FROM s;
INSERT INTO s (k, n, fails) VALUES ('a', 10, false);
INSERT INTO s (k, n, fails) VALUES ('b', NULL, true);
INSERT INTO s (k, n, fails) VALUES ('c', 30, false);
ASSERT VALUES o (k, more, shown) VALUES ('a', 11, '3');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, '4');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, '1.5');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, 'true');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, 'x');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, '2.50');
ASSERT VALUES o (k, more, shown) VALUES ('a', NULL, 'Struct{A=b}');
ASSERT VALUES p (k, fails) VALUES ('a', false);
ASSERT VALUES p (k, fails) VALUES ('c', false);

--@test: the first items of arrays and of maps
CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, TEST_UDTF(ARRAY[n, 2], ARRAY[CAST(n AS BIGINT)], ARRAY[1.5E0], ARRAY[true], ARRAY['x'], ARRAY[2.5],
  ARRAY[STRUCT(A := n)]) AS shown FROM s;
INSERT INTO s (k, n) VALUES ('a', 1);
ASSERT VALUES o (shown) VALUES ('1');
ASSERT VALUES o (shown) VALUES ('1');
ASSERT VALUES o (shown) VALUES ('1.5');
ASSERT VALUES o (shown) VALUES ('true');
ASSERT VALUES o (shown) VALUES ('x');
ASSERT VALUES o (shown) VALUES ('2.5');
ASSERT VALUES o (shown) VALUES ('Struct{A=1}');

--@test: aggregates over several columns with constants that count once
CREATE STREAM s (k STRING KEY, g INT, b BIGINT, t STRING) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT g, VAR_ARG(b, t, 'xy') AS v, MULTI_ARG(b, t, 100, 'abc') AS m, MID_VAR_ARG(g, t, t, 10, 20) AS i,
  COUNT(*) AS n FROM s GROUP BY g;
INSERT INTO s (k, g, b, t) VALUES ('a', 1, 5, 'hello');
INSERT INTO s (k, g, b, t) VALUES ('b', 1, NULL, NULL);
INSERT INTO s (k, g, b, t) VALUES ('c', 2, 7, 'é😀');
ASSERT VALUES o (g, v, m, i, n) VALUES (1, 12, 113, 41, 1);
ASSERT VALUES o (g, v, m, i, n) VALUES (1, 14, 113, 42, 2);
ASSERT VALUES o (g, v, m, i, n) VALUES (2, 12, 113, 38, 1);

--@test: an aggregate over a table takes rows back
CREATE TABLE t (id INT PRIMARY KEY, g STRING, b BIGINT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT g, TEST_UDAF(b) AS total FROM t GROUP BY g;
INSERT INTO t (id, g, b) VALUES (1, 'x', 10);
INSERT INTO t (id, g, b) VALUES (2, 'x', 5);
INSERT INTO t (id, g, b) VALUES (1, 'y', 3);
ASSERT VALUES o (g, total) VALUES ('x', 10);
ASSERT VALUES o (g, total) VALUES ('x', 15);
ASSERT VALUES o (g, total) VALUES ('x', 5);
ASSERT VALUES o (g, total) VALUES ('y', 3);

--@test: one that cannot take rows back keeps them
CREATE TABLE t (id INT PRIMARY KEY, g STRING, n INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT g, VAR_ARG(id, g) AS total FROM t GROUP BY g;
INSERT INTO t (id, g, n) VALUES (1, 'x', 10);
INSERT INTO t (id, g, n) VALUES (2, 'x', 5);
INSERT INTO t (id, g, n) VALUES (1, 'y', 3);
ASSERT VALUES o (g, total) VALUES ('x', 2);
ASSERT VALUES o (g, total) VALUES ('x', 5);
ASSERT VALUES o (g, total) VALUES ('x', 3);
ASSERT VALUES o (g, total) VALUES ('y', 2);

--@test: in windows, with HAVING, of texts and of structs
CREATE STREAM s (k STRING KEY, t STRING, v STRUCT<a INT, b INT>) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT k, TEST_UDAF(t, 'init') AS l, TEST_UDAF(v) AS v FROM s WINDOW TUMBLING (SIZE 10 MILLISECONDS) GROUP BY k
  HAVING TEST_UDAF(t, 'init') > 4;
INSERT INTO s (ROWTIME, k, t, v) VALUES (1, 'a', '', STRUCT(a := 1, b := 2));
INSERT INTO s (ROWTIME, k, t, v) VALUES (5, 'a', 'abc', STRUCT(a := 1, b := NULL));
INSERT INTO s (ROWTIME, k, t, v) VALUES (12, 'a', 'x', NULL);
ASSERT VALUES o (ROWTIME, k, l, v) VALUES (5, 'a', 7, STRUCT(a := 2, b := 2));
ASSERT VALUES o (ROWTIME, k, l, v) VALUES (12, 'a', 5, STRUCT(a := 0, b := 0));

--@test: values of rows without nulls, in their order
CREATE STREAM s (k STRING KEY, d DECIMAL(4, 1), n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT k, GENERIC_VAR_ARG(d, n) AS ds, OBJ_COL_ARG(n) AS ns FROM s GROUP BY k;
INSERT INTO s (k, d, n) VALUES ('a', 1.5, 1);
INSERT INTO s (k, d, n) VALUES ('a', 2.5, NULL);
INSERT INTO s (k, d, n) VALUES ('a', 3.5, 3);
ASSERT VALUES o (k, ds, ns) VALUES ('a', ARRAY[1.5], ARRAY[1]);
ASSERT VALUES o (k, ds, ns) VALUES ('a', ARRAY[1.5], ARRAY[1]);
ASSERT VALUES o (k, ds, ns) VALUES ('a', ARRAY[1.5, 3.5], ARRAY[1, 3]);

--@test: functions in the condition and the projection of a join
CREATE STREAM l (k STRING KEY, t STRING) WITH (KAFKA_TOPIC = 'l', VALUE_FORMAT = 'JSON');
CREATE TABLE r (k STRING PRIMARY KEY, t STRING) WITH (KAFKA_TOPIC = 'r', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT r.k, TOSTRUCT(l.t)->A AS a, TEST_UDF(1, r.t) AS b FROM l JOIN r ON TEST_UDF(TOSTRUCT(l.t)) = r.k;
INSERT INTO r (k, t) VALUES ('x', 'y');
INSERT INTO l (k, t) VALUES ('a', 'x');
ASSERT VALUES o (r_k, a, b) VALUES ('x', 'x', 'doStuffIntString');

--@test: a function in a lambda and in inserted values
CREATE STREAM s (k STRING KEY, ts ARRAY<STRING>) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, TRANSFORM(ts, t => TOSTRUCT(t)->A + '!') AS ts FROM s;
INSERT INTO s (k, ts) VALUES (TEST_UDF(1, 'x'), ARRAY['a', 'b']);
ASSERT VALUES o (k, ts) VALUES ('doStuffIntString', ARRAY['a!', 'b!']);

--@test: arguments that no overload takes
--@expected.error: Function 'whenresult' does not accept parameters (STRING, BOOLEAN)
CREATE STREAM s (k STRING KEY) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, WHENRESULT(k, true) FROM s;

--@test: arguments that an aggregate does not take
--@expected.error: Function 'OBJ_COL_ARG' does not accept parameters (STRING)
CREATE STREAM s (k STRING KEY) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT k, OBJ_COL_ARG(k) FROM s GROUP BY k;

--@test: an argument that must be a constant
--@expected.error: Parameter 3 passed to function MULTI_ARG must be a literal constant
CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE TABLE o AS SELECT k, MULTI_ARG(n, k, n) FROM s GROUP BY k;

--@test: a table function where none can be
--@expected.error: TEST_UDTF makes several rows of one
CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k FROM s WHERE TEST_UDTF(n) = 1;

--@test: a name that is almost right
--@expected.error: WHENRESULT
CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');
CREATE STREAM o AS SELECT k, WHENRESUL(n, true) FROM s;
