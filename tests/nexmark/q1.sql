-- Currency: prices of bids from dollars to euros.
-- Differs from the original: the euro price is a DOUBLE, not a DECIMAL.

CREATE STREAM Q1 AS
  SELECT BID_KEY, AUCTION, BIDDER, 0.908E0 * PRICE AS PRICE, DATETIME, EXTRA
  FROM BID
  EMIT CHANGES;
