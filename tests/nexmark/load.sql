-- The events that golden.json was computed from: 100,000 of them, seed 42, five a second, so that they last five and a half hours, from
-- the afternoon over midnight. Windows of ten seconds then hold about fifty.

DEFINE partitions = '1';

CREATE SOURCE CONNECTOR NEXMARK WITH (
  'connector.class' = 'nexmark',
  'topic.person' = 'person',
  'topic.auction' = 'auction',
  'topic.bid' = 'bid',
  'events' = '100000',
  'seed' = '42',
  'event.rate' = '5',
  'base.time' = '2015-07-14T18:45:03Z',
  'partitions' = '${partitions}'
);
