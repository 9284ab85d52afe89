-- not there yet: SESSION windows
-- User sessions: how many bids each person made in each session. A session ends with ten seconds without a bid.

CREATE TABLE Q11 AS
  SELECT BIDDER, COUNT(*) AS BID_COUNT
  FROM BID
  WINDOW SESSION (10 SECONDS, RETENTION 8 DAYS, GRACE PERIOD 7 DAYS)
  GROUP BY BIDDER
  EMIT CHANGES;
