-- Hopping windows of ten seconds: each bid is in as many as ${advance}, in milliseconds, goes into ten seconds; five, if nothing is said.
CREATE TABLE W2 AS
  SELECT AUCTION, COUNT(*) AS BIDS FROM BIDS
  WINDOW HOPPING (SIZE 10000 MILLISECONDS, ADVANCE BY ${advance} MILLISECONDS, GRACE PERIOD 10 SECONDS) GROUP BY AUCTION EMIT CHANGES;
