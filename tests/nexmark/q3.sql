-- Local items: who sells items of category 10 in Oregon, Idaho or California, and which auctions these are.
-- Differs from the original: a stream-table join in the place of a join of two streams without bounds, so an auction that is read
-- before its seller finds none. Identifiers serve as the timestamps of people, which are therefore older than any auction: where
-- the topics are loaded before the query starts, every seller is known in time, and the result is that of the original.

CREATE TABLE Q3_SELLERS (
  PERSON_KEY VARCHAR PRIMARY KEY,
  ID BIGINT,
  NAME VARCHAR,
  CITY VARCHAR,
  STATE VARCHAR
) WITH (KAFKA_TOPIC = 'person', PARTITIONS = ${partitions}, VALUE_FORMAT = 'JSON', TIMESTAMP = 'ID');

CREATE STREAM Q3 AS
  SELECT P.PERSON_KEY AS PERSON_KEY, P.NAME AS NAME, P.CITY AS CITY, P.STATE AS STATE, A.ID AS ID
  FROM AUCTION A
  JOIN Q3_SELLERS P ON CAST(A.SELLER AS VARCHAR) = P.PERSON_KEY
  WHERE A.CATEGORY = 10 AND P.STATE IN ('OR', 'ID', 'CA')
  EMIT CHANGES;
