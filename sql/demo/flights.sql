-- Departures as a stream, joined with the airports, aggregated by city: in all, and by hour of departure.
-- Run after airports.sql, from the top of the repository: millstream run sql/demo/flights.sql --data DIR --until-idle

CREATE STREAM FLIGHTS (
  ORIGIN VARCHAR KEY,
  DEPARTS BIGINT,
  DESTINATION VARCHAR,
  DELAY INT,
  DISTANCE INT
) WITH (KAFKA_TOPIC = 'flights', PARTITIONS = 4, VALUE_FORMAT = 'JSON', TIMESTAMP = 'DEPARTS');

-- A stream-table join: each flight with its airport as it was at that time. A few airports have no city: NA.
CREATE STREAM DEPARTURES AS
  SELECT
    F.ORIGIN AS ORIGIN,
    CASE WHEN A.CITY = 'NA' THEN A.NAME ELSE A.CITY || ', ' || A.STATE END AS CITY,
    F.DELAY AS DELAY
  FROM FLIGHTS F
  JOIN AIRPORTS A ON F.ORIGIN = A.IATA
  EMIT CHANGES;

-- Two views, kept up to date as flights depart. Four partitions are read side by side and one may run ahead of another, so
-- windows stay open for the whole month (GRACE PERIOD) and are kept beyond it (RETENTION).
CREATE TABLE DELAYS_BY_CITY AS
  SELECT CITY, COUNT(*) AS FLIGHTS, AVG(DELAY) AS MEAN_DELAY, MAX(DELAY) AS MAX_DELAY
  FROM DEPARTURES
  GROUP BY CITY
  EMIT CHANGES;

CREATE TABLE DELAYS_BY_CITY_AND_HOUR AS
  SELECT CITY, COUNT(*) AS FLIGHTS, AVG(DELAY) AS MEAN_DELAY, MAX(DELAY) AS MAX_DELAY
  FROM DEPARTURES
  WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 60 DAYS, GRACE PERIOD 31 DAYS)
  GROUP BY CITY
  EMIT CHANGES;

-- Now let the flights depart.
CREATE SOURCE CONNECTOR FLIGHTS_FILE WITH (
  'connector.class' = 'file',
  'path' = 'sql/demo/flights.ndjson.zst',
  'format' = 'json',
  'topic' = 'flights',
  'partitions' = '4',
  'key.field' = 'origin',
  'timestamp.field' = 'departs'
);
