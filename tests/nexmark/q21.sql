-- Channel identifiers: a fixed one for four well-known channels, for the others that in the address; bids without any are left out.

CREATE STREAM Q21 AS
  SELECT
    BID_KEY,
    AUCTION,
    BIDDER,
    PRICE,
    CHANNEL,
    CASE
      WHEN LCASE(CHANNEL) = 'apple' THEN '0'
      WHEN LCASE(CHANNEL) = 'google' THEN '1'
      WHEN LCASE(CHANNEL) = 'facebook' THEN '2'
      WHEN LCASE(CHANNEL) = 'baidu' THEN '3'
      ELSE REGEXP_MATCH(URL, '(&|^)channel_id=([^&]*)')[2]
    END AS CHANNEL_ID
  FROM BID
  WHERE
    REGEXP_MATCH(URL, '(&|^)channel_id=([^&]*)')[2] IS NOT NULL
    OR LCASE(CHANNEL) IN ('apple', 'google', 'facebook', 'baidu')
  EMIT CHANGES;
