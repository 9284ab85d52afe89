-- Log to the file system: bids with their day and minute, by which the original lays them down in folders.
-- Differs from the original: the rows go to the topic only; there is no sink that partitions files by columns.

CREATE STREAM Q10 AS
  SELECT
    BID_KEY,
    AUCTION,
    BIDDER,
    PRICE,
    DATETIME,
    EXTRA,
    TO_CHAR(TO_TIMESTAMP_MILLIS(DATETIME), '%Y-%m-%d') AS DT,
    TO_CHAR(TO_TIMESTAMP_MILLIS(DATETIME), '%H:%M') AS HM
  FROM BID
  EMIT CHANGES;
