-- The airports of the United States as a table: the newest row per IATA code is the fact.
-- Run from the top of the repository: millstream run sql/demo/airports.sql --data DIR --until-idle
-- (The airports are loaded before the flights, so that each flight finds its airport.)

CREATE TABLE AIRPORTS (
  IATA VARCHAR PRIMARY KEY,
  NAME VARCHAR,
  CITY VARCHAR,
  STATE VARCHAR,
  COUNTRY VARCHAR,
  LATITUDE DOUBLE,
  LONGITUDE DOUBLE
) WITH (KAFKA_TOPIC = 'airports', PARTITIONS = 4, VALUE_FORMAT = 'JSON');

CREATE SOURCE CONNECTOR AIRPORTS_FILE WITH (
  'connector.class' = 'file',
  'path' = 'sql/demo/airports.csv.zst',
  'format' = 'csv',
  'topic' = 'airports',
  'partitions' = '4',
  'key.field' = 'iata',
  'timestamp.field' = 'since'
);
