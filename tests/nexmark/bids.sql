-- The bids of w0 to w4: the key is the auction, the value the whole line of the generated file.
CREATE STREAM BIDS (AUCTION BIGINT KEY, BIDDER BIGINT, PRICE BIGINT, CHANNEL VARCHAR, URL VARCHAR, DATE_TIME BIGINT, EXTRA VARCHAR)
  WITH (KAFKA_TOPIC = 'bids', PARTITIONS = ${partitions}, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON', TIMESTAMP = 'DATE_TIME');
