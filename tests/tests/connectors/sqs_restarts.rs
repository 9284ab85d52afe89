//! Queues on a server that is killed with SIGKILL and comes back with what it kept: an ElasticMQ whose messages are in a database.
//!
//! What it may be asked for is seen by Amazon's own client: it keeps each message and each deletion that it has confirmed. What it does not keep is
//! that messages are those of a FIFO queue: when it is back, later ones of a group are given out while earlier ones are under way, which SQS never
//! does. So what is read of a FIFO queue is each message once, and whether it is in order is only counted; what is written there is in order. Nor
//! does it know a message again that is sent once more before it has read what it kept, so nobody reaches it before.

use std::{collections::BTreeSet, thread};

use millstream_tests::sqs_server::SqsServer;
use serde_json::Value;

use super::{
    log::text,
    sqs::{
        GROUPS, by_group, check_groups, header, number_in, read_under_faults, rows, send_to_groups, write_under_faults,
    },
};

fn numbers(of: &Value) -> BTreeSet<u64> {
    of.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number")).collect()
}

#[test]
fn a_server_keeps_what_it_has_confirmed() {
    let Some(server) = SqsServer::elasticmq_on_disk() else { return };
    let queue = server.create_queue("kept.fifo", &["FifoQueue=true"]);
    let confirmed = thread::scope(|scope| {
        let client = scope.spawn(|| server.try_until_gone(&queue));
        while server.count(&queue) < 100 {
            assert!(!client.is_finished(), "the server is gone before it was killed");
        }
        server.kill();
        client.join().expect("it ends")
    });
    server.start_again();
    let (sent, deleted) = (numbers(&confirmed["sent"]), numbers(&confirmed["deleted"]));
    let number = |message: &Value| message["body"].as_str().expect("text").parse::<u64>().expect("a number");
    let kept: Vec<u64> = server.drain(&queue).iter().map(number).collect();
    let set: BTreeSet<u64> = kept.iter().copied().collect();
    let group = |group: u64| kept.iter().filter(|number| *number % 5 == group).copied().collect::<Vec<_>>();
    let unordered = |group: Vec<u64>| group.windows(2).filter(|pair| pair[0] > pair[1]).count();
    eprintln!(
        "the server has confirmed {} messages and the deletion of {}; {} are there after its death, {} out of order",
        sent.len(),
        deleted.len(),
        kept.len(),
        (0..5).map(group).map(unordered).sum::<usize>()
    );
    assert!(sent.difference(&deleted).all(|number| set.contains(number)), "a message that it has confirmed is lost");
    assert!(deleted.is_disjoint(&set), "a message whose deletion it has confirmed comes again");
    assert_eq!(kept.len(), set.len(), "a message is there twice");
}

#[test]
fn a_fifo_queue_whose_server_is_killed_becomes_a_topic_exactly_once() {
    let Some(server) = SqsServer::elasticmq_on_disk() else { return };
    let queue = server.create_queue("source.fifo", &["FifoQueue=true"]);
    send_to_groups(&server, &queue);
    let records = read_under_faults("FIFO source, server killed", &server, &queue, rows());
    let ids: BTreeSet<String> = records.iter().map(|record| text(header(record, "sqs.deduplication.id"))).collect();
    assert_eq!((records.len(), ids.len()), (rows(), rows()), "each message once");
    let groups = by_group(records.iter().map(|record| (text(record.key.as_deref()), text(record.value.as_deref()))));
    let mut sorted = groups.clone();
    let number = |text: &String| text.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("a number");
    sorted.values_mut().for_each(|texts| texts.sort_by_key(number));
    check_groups(&sorted);
    let unordered = groups.iter().filter(|(group, texts)| sorted[*group] != **texts).count();
    eprintln!(
        "FIFO source, server killed: {} messages, each once; {unordered} groups of {GROUPS} are not in order, as the server gave them",
        records.len()
    );
}

#[test]
fn a_topic_becomes_a_fifo_queue_exactly_once_and_in_order_even_if_the_server_is_killed() {
    let Some(server) = SqsServer::elasticmq_on_disk() else { return };
    let queue = server.create_queue("sink.fifo", &["FifoQueue=true"]);
    let messages = write_under_faults("FIFO sink, server killed", &server, &queue, rows());
    let texts =
        messages.iter().map(|message| (message["group"].as_str().expect("a group").to_owned(), number_in(message)));
    check_groups(&by_group(texts));
    eprintln!("FIFO sink, server killed: {} messages, each once and in order", messages.len());
}

#[test]
fn nothing_of_a_standard_queue_is_lost_even_if_the_server_is_killed() {
    // Said often enough for FIFO queues where faults are to be few.
    if std::env::var_os("MILLSTREAM_CONNECTOR_FAULTS").is_none() {
        return;
    }
    let Some(server) = SqsServer::elasticmq_on_disk() else { return };
    let queue = server.create_queue("there", &[]);
    let messages = write_under_faults("standard sink, server killed", &server, &queue, rows());
    let all: BTreeSet<String> = (0..rows()).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(messages.iter().map(number_in).collect::<BTreeSet<_>>(), all);
    eprintln!("standard sink, server killed: {} records, {} duplicates", rows(), messages.len() - rows());

    let queue = server.create_queue("back", &[]);
    let lines: String = (0..rows()).map(|n| format!("{{\"body\":\"{{\\\"n\\\":{n}}}\"}}\n")).collect();
    server.send(&queue, &lines);
    let records = read_under_faults("standard source, server killed", &server, &queue, rows());
    let values: Vec<String> = records.iter().map(|record| text(record.value.as_deref())).collect();
    assert_eq!(values.iter().cloned().collect::<BTreeSet<_>>(), all);
    eprintln!("standard source, server killed: {} messages, {} duplicates", rows(), values.len() - rows());
}
