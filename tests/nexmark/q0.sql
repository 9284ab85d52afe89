-- Pass through: every bid as it is. What it costs to read, decode, encode and write.
-- Differs from the original: the key of the topic is a column of the result, here and in the other queries over streams.

CREATE STREAM Q0 AS
  SELECT BID_KEY, AUCTION, BIDDER, PRICE, DATETIME, EXTRA
  FROM BID
  EMIT CHANGES;
