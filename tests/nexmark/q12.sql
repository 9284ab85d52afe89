-- How many bids each person makes in ten seconds.
-- Differs from the original: windows of event time; its windows are of processing time, so that its result differs from run to run.

CREATE TABLE Q12 AS
  SELECT BIDDER, COUNT(*) AS BID_COUNT
  FROM BID
  WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 8 DAYS, GRACE PERIOD 7 DAYS)
  GROUP BY BIDDER
  EMIT CHANGES;
