-- Top bids: the ten dearest bids on each auction.
-- Differs from the original: one row for each auction, with its ten dearest bids in one array, in the place of one row for each rank. Of
-- several bids at one price, between which the original does not choose, those of the highest bidder, then the latest, come first.

CREATE TABLE Q19 AS
  SELECT
    BID_KEY,
    ARRAY_SLICE(
      ARRAY_SORT(
        ARRAY_AGG(NAMED_STRUCT('PRICE', PRICE, 'BIDDER', BIDDER, 'DATETIME', DATETIME, 'CHANNEL', CHANNEL, 'EXTRA', EXTRA)),
        'DESC'
      ),
      1,
      10
    ) AS TOP
  FROM BID
  GROUP BY BID_KEY
  EMIT CHANGES;
