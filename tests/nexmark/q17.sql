-- Statistics of an auction and day: how many bids, in all and for three ranges of price; the lowest, highest and mean price and their sum.
-- Differs from the original: the mean is a DOUBLE, not a whole number.

CREATE TABLE Q17 WITH (KEY_FORMAT = 'JSON') AS
  SELECT
    AUCTION,
    TO_CHAR(TO_TIMESTAMP_MILLIS(DATETIME), '%Y-%m-%d') AS DAY,
    COUNT(*) AS TOTAL_BIDS,
    COUNT(*) FILTER (WHERE PRICE < 10000) AS RANK1_BIDS,
    COUNT(*) FILTER (WHERE PRICE >= 10000 AND PRICE < 1000000) AS RANK2_BIDS,
    COUNT(*) FILTER (WHERE PRICE >= 1000000) AS RANK3_BIDS,
    MIN(PRICE) AS MIN_PRICE,
    MAX(PRICE) AS MAX_PRICE,
    AVG(PRICE) AS AVG_PRICE,
    SUM(PRICE) AS SUM_PRICE
  FROM BID
  GROUP BY AUCTION, TO_CHAR(TO_TIMESTAMP_MILLIS(DATETIME), '%Y-%m-%d')
  EMIT CHANGES;
