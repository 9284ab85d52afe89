-- Parts of addresses: the three after the host, null where there is none.

CREATE STREAM Q22 AS
  SELECT
    BID_KEY,
    AUCTION,
    BIDDER,
    PRICE,
    CHANNEL,
    NULLIF(SPLIT_PART(URL, '/', 4), '') AS DIR1,
    NULLIF(SPLIT_PART(URL, '/', 5), '') AS DIR2,
    NULLIF(SPLIT_PART(URL, '/', 6), '') AS DIR3
  FROM BID
  EMIT CHANGES;
