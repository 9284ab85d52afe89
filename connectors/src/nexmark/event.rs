//! Nexmark events: which kind the event with number `n` is, whom and what it refers to, and its JSON.
//!
//! Of 50 events 1 is a person, 3 are auctions, 46 are bids, in this order. Events refer to what came before: sellers and
//! bidders mostly to a hot person, half of the bids to the hot auction of the moment (a new one every 100 auctions), the
//! rest to one of the last 1000 people or 100 auctions, or to some that are about to come. Prices are log-uniform, 100 to
//! 10^8. Event `n` has the timestamp `base + n / rate`.
//!
//! Randomness: ChaCha8 gives event `n` its own 64-bit seed (words 2n and 2n + 1 of the stream), SplitMix64 makes of it
//! what the event needs. Events are therefore the same wherever generation begins, and cost one small seed each.
//!
//! Definitions after the Nexmark benchmark (Tucker et al., 2002) as in the generators of Apache Beam and of the Flink
//! benchmark; texts and random numbers are not theirs, so results compare in shape, not in value.

use millstream::record::Timestamp;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

const PERSON_SHARE: u64 = 1;
const AUCTION_SHARE: u64 = 3;
const ALL_SHARES: u64 = 50;
const FIRST_ID: u64 = 1000;
const ACTIVE_PEOPLE: u64 = 1000;
const AUCTIONS_IN_FLIGHT: u64 = 100;
/// Identifiers that are about to be given may be referred to already.
const LEAD: u64 = 10;
/// A hot person or auction stays hot for so many of its kind.
const HOT_FOR: u64 = 100;
const PERSON_BYTES: u64 = 200;
const AUCTION_BYTES: u64 = 500;
const BID_BYTES: u64 = 100;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const OTHER_CHANNELS: u64 = 10_000;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Person,
    Auction,
    Bid,
}

impl EventKind {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];

    fn of(n: u64) -> Self {
        match n % ALL_SHARES {
            place if place < PERSON_SHARE => Self::Person,
            place if place < PERSON_SHARE + AUCTION_SHARE => Self::Auction,
            _ => Self::Bid,
        }
    }
}

/// Whether a value says in the field `event` what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Written,
    Left,
}

/// An event as it is written to a topic.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) kind: EventKind,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) timestamp: Timestamp,
}

/// Writes events one after another.
pub(super) struct EventWriter {
    seeds: ChaCha8Rng,
    event_rate: u64,
    base_time: Timestamp,
    /// The number of the next event.
    next: u64,
    json: Json,
    key: itoa::Buffer,
}

impl EventWriter {
    pub(super) fn new(seed: u64, event_rate: u64, base_time: Timestamp) -> Self {
        let json = Json { out: Vec::new(), digits: itoa::Buffer::new() };
        Self { seeds: ChaCha8Rng::seed_from_u64(seed), event_rate, base_time, next: 0, json, key: itoa::Buffer::new() }
    }

    /// Goes on with event `n`.
    pub(super) fn seek(&mut self, n: u64) {
        self.seeds.set_word_pos(2 * u128::from(n));
        self.next = n;
    }

    /// The next event; it lives until the one after it.
    pub(super) fn write_next(&mut self, tag: Tag) -> Event<'_> {
        let n = self.next;
        self.next += 1;
        let mut random = Random(self.seeds.next_u64());
        let timestamp = self.timestamp(n);
        let kind = EventKind::of(n);
        self.json.out.clear();
        self.json.out.push(b'{');
        if tag == Tag::Written {
            self.json.text("event", &[["person", "auction", "bid"][kind as usize]]);
        }
        let key = match kind {
            EventKind::Person => self.person(n, timestamp, &mut random),
            EventKind::Auction => self.auction(n, timestamp, &mut random),
            EventKind::Bid => self.bid(n, timestamp, &mut random),
        };
        if let Some(last) = self.json.out.last_mut() {
            *last = b'}';
        }
        Event { kind, key: self.key.format(key).as_bytes(), value: &self.json.out, timestamp }
    }

    fn timestamp(&self, n: u64) -> Timestamp {
        let millis = u128::from(n) * 1000 / u128::from(self.event_rate);
        Timestamp(self.base_time.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    fn person(&mut self, n: u64, timestamp: Timestamp, random: &mut Random) -> u64 {
        let id = last_person(n) + FIRST_ID;
        let json = &mut self.json;
        let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
        json.number("id", id);
        json.text("name", &[first, " ", last]);
        json.letters("emailAddress", 7, "@", random);
        json.out.truncate(json.out.len() - 2);
        json.push_letters(5, random);
        json.out.extend_from_slice(b".com\",");
        json.card("creditCard", random);
        let (city, state) = (random.pick(&CITIES), random.pick(&STATES));
        json.text("city", &[city]);
        json.text("state", &[state]);
        json.number("dateTime", timestamp.0 as u64);
        let held = 8 + first.len() + 1 + last.len() + 17 + 19 + city.len() + state.len() + 8;
        json.extra(held as u64, PERSON_BYTES, random);
        id
    }

    fn auction(&mut self, n: u64, timestamp: Timestamp, random: &mut Random) -> u64 {
        let id = last_auction(n) + FIRST_ID;
        let seller = if random.below(4) > 0 { last_person(n) / HOT_FOR * HOT_FOR } else { near_person(n, random) };
        let initial_bid = random.price();
        let reserve = initial_bid + random.price();
        // So long that about as many auctions are open as are to be in flight.
        let horizon = self.timestamp(n + AUCTIONS_IN_FLIGHT * ALL_SHARES / AUCTION_SHARE).0 - timestamp.0;
        let expires = timestamp.0 as u64 + 1 + random.below((horizon.max(1) as u64) * 2);
        let (name, description) = (3 + random.below(17), 3 + random.below(97));
        let json = &mut self.json;
        json.number("id", id);
        json.letters("itemName", name, "", random);
        json.letters("description", description, "", random);
        json.number("initialBid", initial_bid);
        json.number("reserve", reserve);
        json.number("dateTime", timestamp.0 as u64);
        json.number("expires", expires);
        json.number("seller", seller + FIRST_ID);
        json.number("category", 10 + random.below(5));
        json.extra(8 * 7 + name + description, AUCTION_BYTES, random);
        id
    }

    fn bid(&mut self, n: u64, timestamp: Timestamp, random: &mut Random) -> u64 {
        let auction = if random.below(2) > 0 { last_auction(n) / HOT_FOR * HOT_FOR } else { near_auction(n, random) };
        let bidder = if random.below(4) > 0 { last_person(n) / HOT_FOR * HOT_FOR + 1 } else { near_person(n, random) };
        let json = &mut self.json;
        json.number("auction", auction + FIRST_ID);
        json.number("bidder", bidder + FIRST_ID);
        json.number("price", random.price());
        if random.below(2) > 0 {
            let channel = random.pick(&HOT_CHANNELS);
            json.text("channel", &[channel]);
            json.text("url", &["https://auction.example/", channel, "/item.htm?query=1"]);
        } else {
            let number = random.below(OTHER_CHANNELS);
            let mut digits = itoa::Buffer::new();
            let number = digits.format(number);
            json.text("channel", &["channel-", number]);
            // One in ten has no number in its address.
            let (name, value) = if random.below(10) > 0 { ("&channel_id=", number) } else { ("", "") };
            json.text("url", &["https://auction.example/other/item.htm?query=1", name, value]);
        }
        json.number("dateTime", timestamp.0 as u64);
        json.extra(4 * 8, BID_BYTES, random);
        auction + FIRST_ID
    }
}

/// The number of the newest person when event `n` happens, from 0: each round of events begins with its only person.
fn last_person(n: u64) -> u64 {
    n / ALL_SHARES
}

/// The number of the newest auction when event `n` happens, from 0; before the first one, 0 as well.
fn last_auction(n: u64) -> u64 {
    let (round, place) = (n / ALL_SHARES, n % ALL_SHARES);
    if place < PERSON_SHARE {
        return (round * AUCTION_SHARE).saturating_sub(1);
    }
    round * AUCTION_SHARE + (place - PERSON_SHARE).min(AUCTION_SHARE - 1)
}

/// One of the people active about event `n`.
fn near_person(n: u64, random: &mut Random) -> u64 {
    let people = last_person(n) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + random.below(active + LEAD)
}

/// One of the auctions open about event `n`.
fn near_auction(n: u64, random: &mut Random) -> u64 {
    let newest = last_auction(n);
    let oldest = newest.saturating_sub(AUCTIONS_IN_FLIGHT);
    oldest + random.below(newest - oldest + 1 + LEAD)
}

/// SplitMix64 (Steele, Lea, Flood, 2014), seeded for each event.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`, by multiplication; the bias is below 2^-32 for bounds that occur here.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// Log-uniform between 100 and 10^8 cents.
    fn price(&mut self) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (10_f64.powf(unit * 6.0) * 100.0).round() as u64
    }
}

/// A JSON object being written; every field ends in a comma, the last of which becomes the closing brace.
/// Names and texts are ASCII without anything that JSON escapes.
struct Json {
    out: Vec<u8>,
    digits: itoa::Buffer,
}

impl Json {
    fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(self.digits.format(value).as_bytes());
        self.out.push(b',');
    }

    fn text(&mut self, name: &str, parts: &[&str]) {
        self.name(name);
        self.out.push(b'"');
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(b"\",");
    }

    /// `count` letters, then `end`.
    fn letters(&mut self, name: &str, count: u64, end: &str, random: &mut Random) {
        self.name(name);
        self.out.push(b'"');
        self.push_letters(count, random);
        self.out.extend_from_slice(end.as_bytes());
        self.out.extend_from_slice(b"\",");
    }

    /// Five bits a letter: a to z and, for the rest, the first six again.
    fn push_letters(&mut self, count: u64, random: &mut Random) {
        let mut bits = 0;
        for place in 0..count {
            if place % 12 == 0 {
                bits = random.next();
            }
            self.out.push(b'a' + ((bits & 31) % 26) as u8);
            bits >>= 5;
        }
    }

    /// Sixteen digits in groups of four.
    fn card(&mut self, name: &str, random: &mut Random) {
        self.name(name);
        let mut bits = random.next();
        for group in 0..4 {
            self.out.push(if group == 0 { b'"' } else { b' ' });
            for _ in 0..4 {
                self.out.push(b'0' + (bits % 10) as u8);
                bits /= 10;
            }
        }
        self.out.extend_from_slice(b"\",");
    }

    /// Padding that brings an event that holds `held` bytes to about `wanted`, give or take a fifth.
    fn extra(&mut self, held: u64, wanted: u64, random: &mut Random) {
        let missing = wanted.saturating_sub(held);
        let delta = missing / 5;
        let count = missing - delta + random.below(2 * delta + 1);
        self.letters("extra", count, "", random);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn events(count: u64) -> Vec<(EventKind, u64, i64, Value)> {
        let mut writer = EventWriter::new(1, 10_000, Timestamp(0));
        (0..count)
            .map(|_| {
                let event = writer.write_next(Tag::Written);
                let key = std::str::from_utf8(event.key).expect("digits").parse().expect("a number");
                let value = serde_json::from_slice(event.value).expect("JSON");
                (event.kind, key, event.timestamp.0, value)
            })
            .collect()
    }

    #[test]
    fn events_are_json_with_their_key_and_time() {
        for (n, (kind, key, timestamp, value)) in events(200).into_iter().enumerate() {
            let (tag, id) = match kind {
                EventKind::Person => ("person", "id"),
                EventKind::Auction => ("auction", "id"),
                EventKind::Bid => ("bid", "auction"),
            };
            assert_eq!((value["event"].as_str(), value[id].as_u64()), (Some(tag), Some(key)), "{value}");
            assert_eq!((timestamp, value["dateTime"].as_i64()), (n as i64 / 10, Some(timestamp)));
        }
    }

    #[test]
    fn identifiers_count_up_and_references_are_near() {
        let (mut people, mut auctions) = (0, 0);
        for (kind, key, _, value) in events(20_000) {
            match kind {
                EventKind::Person => {
                    assert_eq!(key, FIRST_ID + people);
                    people += 1;
                }
                EventKind::Auction => {
                    assert_eq!(key, FIRST_ID + auctions);
                    auctions += 1;
                    let seller = value["seller"].as_u64().expect("a number");
                    assert!((FIRST_ID..FIRST_ID + people + LEAD).contains(&seller));
                    assert!(value["expires"].as_i64() > value["dateTime"].as_i64());
                    assert!(value["reserve"].as_u64() > value["initialBid"].as_u64());
                }
                EventKind::Bid => assert!((FIRST_ID..FIRST_ID + auctions + LEAD).contains(&key)),
            }
        }
        assert_eq!((people, auctions), (400, 1200));
    }

    #[test]
    fn skews_and_sizes_are_the_standard_ones() {
        let mut sizes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let (mut bids, mut hot_auctions, mut hot_bidders, mut hot_channels) = (0, 0, 0, 0);
        for (n, (kind, key, _, value)) in events(100_000).into_iter().enumerate() {
            let n = n as u64;
            let size = sizes.entry(["person", "auction", "bid"][kind as usize]).or_default();
            *size = (size.0 + value.to_string().len(), size.1 + 1);
            if kind == EventKind::Bid && n > 50_000 {
                bids += 1;
                hot_auctions += u32::from(key == last_auction(n) / HOT_FOR * HOT_FOR + FIRST_ID);
                hot_bidders +=
                    u32::from(value["bidder"].as_u64() == Some(last_person(n) / HOT_FOR * HOT_FOR + 1 + FIRST_ID));
                hot_channels += u32::from(HOT_CHANNELS.contains(&value["channel"].as_str().unwrap_or_default()));
                assert!((100..=100_000_000).contains(&value["price"].as_u64().expect("a number")));
            }
        }
        let share = |count: u32| f64::from(count) / f64::from(bids);
        assert!((0.49..0.53).contains(&share(hot_auctions)), "{}", share(hot_auctions));
        assert!((0.74..0.77).contains(&share(hot_bidders)), "{}", share(hot_bidders));
        assert!((0.49..0.51).contains(&share(hot_channels)), "{}", share(hot_channels));
        // In JSON, with names and quotes.
        for (kind, around) in [("person", 300), ("auction", 600), ("bid", 280)] {
            let (bytes, count) = sizes[kind];
            assert!((bytes / count).abs_diff(around) < 80, "{kind}: {} bytes", bytes / count);
        }
    }
}
