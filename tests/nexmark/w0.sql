-- Project and filter: one bid in 123, with the price in another currency.
CREATE STREAM W0 AS
  SELECT AUCTION, PRICE * 0.908E0 AS PRICE, BIDDER FROM BIDS WHERE AUCTION % 123 = 0 EMIT CHANGES;
