-- Calculation: bids of a middle euro price, with a name for the hour of the day and a count of the letter c in their padding.
-- Differs from the original: the euro price is a DOUBLE, not a DECIMAL; letters are counted by built-in functions, not by a user's.

CREATE STREAM Q14 AS
  SELECT
    BID_KEY,
    AUCTION,
    BIDDER,
    0.908E0 * PRICE AS PRICE,
    CASE
      WHEN DATE_PART('hour', TO_TIMESTAMP_MILLIS(DATETIME)) BETWEEN 8 AND 18 THEN 'dayTime'
      WHEN DATE_PART('hour', TO_TIMESTAMP_MILLIS(DATETIME)) <= 6 OR DATE_PART('hour', TO_TIMESTAMP_MILLIS(DATETIME)) >= 20 THEN 'nightTime'
      ELSE 'otherTime'
    END AS BIDTIMETYPE,
    DATETIME,
    EXTRA,
    CAST(LENGTH(EXTRA) - LENGTH(REPLACE(EXTRA, 'c', '')) AS BIGINT) AS C_COUNTS
  FROM BID
  WHERE 0.908E0 * PRICE > 1000000 AND 0.908E0 * PRICE < 50000000
  EMIT CHANGES;
