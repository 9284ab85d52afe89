-- Average price for a category: the mean of the winning prices of its auctions. An auction is won by the highest of the bids that were
-- made while it was open.
-- Differs from the original in form only: a stream-table join in the place of a join of two streams, which gives the same, because a
-- bid on an open auction is never older than the auction, and of one timestamp the row of the table comes first. Load the topics first.

CREATE TABLE Q4_AUCTIONS (
  AUCTION_KEY VARCHAR PRIMARY KEY,
  DATETIME BIGINT,
  EXPIRES BIGINT,
  CATEGORY BIGINT
) WITH (KAFKA_TOPIC = 'auction', PARTITIONS = ${partitions}, VALUE_FORMAT = 'JSON', TIMESTAMP = 'DATETIME');

CREATE TABLE Q4_WINNERS AS
  SELECT B.BID_KEY AS BID_KEY, MAX(A.CATEGORY) AS CATEGORY, MAX(B.PRICE) AS FINAL
  FROM BID B
  JOIN Q4_AUCTIONS A ON B.BID_KEY = A.AUCTION_KEY
  WHERE B.DATETIME BETWEEN A.DATETIME AND A.EXPIRES
  GROUP BY B.BID_KEY
  EMIT CHANGES;

CREATE TABLE Q4 AS
  SELECT CATEGORY, AVG(FINAL) AS PRICE
  FROM Q4_WINNERS
  GROUP BY CATEGORY
  EMIT CHANGES;
