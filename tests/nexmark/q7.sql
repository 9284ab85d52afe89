-- Highest bid: the bid with the highest price in each ten seconds.
-- Differs from the original: of several bids at the highest price one is given, the earliest; the original gives all of them.
-- All rows have one key, since there is no aggregate without GROUP BY.

CREATE TABLE Q7 AS
  SELECT
    'ALL' AS SCOPE,
    MAX(NAMED_STRUCT('PRICE', PRICE, 'EARLY', 0 - DATETIME, 'AUCTION', AUCTION, 'BIDDER', BIDDER, 'EXTRA', EXTRA))->AUCTION AS AUCTION,
    MAX(PRICE) AS PRICE,
    MAX(NAMED_STRUCT('PRICE', PRICE, 'EARLY', 0 - DATETIME, 'AUCTION', AUCTION, 'BIDDER', BIDDER, 'EXTRA', EXTRA))->BIDDER AS BIDDER,
    0 - MAX(NAMED_STRUCT('PRICE', PRICE, 'EARLY', 0 - DATETIME, 'AUCTION', AUCTION, 'BIDDER', BIDDER, 'EXTRA', EXTRA))->EARLY AS DATETIME,
    MAX(NAMED_STRUCT('PRICE', PRICE, 'EARLY', 0 - DATETIME, 'AUCTION', AUCTION, 'BIDDER', BIDDER, 'EXTRA', EXTRA))->EXTRA AS EXTRA
  FROM BID
  WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 8 DAYS, GRACE PERIOD 7 DAYS)
  GROUP BY 'ALL'
  EMIT CHANGES;
