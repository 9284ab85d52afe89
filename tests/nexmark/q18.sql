-- Last bid: each person's latest bid on each auction.
-- Differs from the original in form only: the bid with the highest timestamp by MAX, where it numbers rows and keeps the first. Of
-- several bids in one millisecond, between which the original does not choose, the dearest counts.

CREATE TABLE Q18_LAST WITH (KEY_FORMAT = 'JSON') AS
  SELECT
    BIDDER,
    AUCTION,
    MAX(NAMED_STRUCT('DATETIME', DATETIME, 'PRICE', PRICE, 'CHANNEL', CHANNEL, 'URL', URL, 'EXTRA', EXTRA)) AS LAST_BID
  FROM BID
  GROUP BY BIDDER, AUCTION
  EMIT CHANGES;

CREATE TABLE Q18 AS
  SELECT
    BIDDER,
    AUCTION,
    LAST_BID->PRICE AS PRICE,
    LAST_BID->CHANNEL AS CHANNEL,
    LAST_BID->URL AS URL,
    LAST_BID->DATETIME AS DATETIME,
    LAST_BID->EXTRA AS EXTRA
  FROM Q18_LAST
  EMIT CHANGES;
