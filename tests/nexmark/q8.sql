-- New users: people who have registered and opened an auction within the same ten seconds.
-- Differs from the original in form only: both kinds of events go to one stream, keyed by person, and are counted per window, in the
-- place of a join of two windowed streams.

CREATE STREAM Q8_EVENTS AS
  SELECT PERSON_KEY, NAME
  FROM PERSON
  EMIT CHANGES;

INSERT INTO Q8_EVENTS
  SELECT CAST(SELLER AS VARCHAR) AS PERSON_KEY, CAST(NULL AS VARCHAR) AS NAME
  FROM AUCTION
  PARTITION BY CAST(SELLER AS VARCHAR)
  EMIT CHANGES;

CREATE TABLE Q8 AS
  SELECT PERSON_KEY, MAX(NAME) AS NAME
  FROM Q8_EVENTS
  WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 8 DAYS, GRACE PERIOD 7 DAYS)
  GROUP BY PERSON_KEY
  HAVING COUNT(NAME) > 0 AND COUNT(*) > COUNT(NAME)
  EMIT CHANGES;
