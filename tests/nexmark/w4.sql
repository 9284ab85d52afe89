-- Running totals per auction and bidder: millions of keys that are kept for ever.
CREATE TABLE W4 WITH (KEY_FORMAT = 'JSON') AS
  SELECT AUCTION, BIDDER, COUNT(*) AS BIDS, SUM(PRICE) AS TOTAL FROM BIDS GROUP BY AUCTION, BIDDER EMIT CHANGES;
