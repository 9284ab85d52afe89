//! What a server says to those who do not belong, and to those who say nonsense.

use std::{io::Read, net::TcpStream, sync::Arc, time::Duration};

use super::{
    frame::{LONGEST_ANSWER, LONGEST_REQUEST, receive, send},
    message::{Freshness, HELLO, Request, Response, Wanted},
    server::{QueryServer, QueryServerConfig},
};

fn server(token: Option<&str>) -> Arc<QueryServer> {
    let token = token.map(str::to_owned);
    QueryServer::start(QueryServerConfig { token, ..QueryServerConfig::default() }).unwrap()
}

fn answer(stream: &mut TcpStream) -> Response {
    Response::decode(&receive(stream, LONGEST_ANSWER).unwrap()).unwrap()
}

/// A connection on which this was said first, and the answer.
fn greet(server: &QueryServer, hello: &[u8]) -> (TcpStream, Response) {
    let mut stream = TcpStream::connect(server.endpoint()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    send(&mut stream, hello).unwrap();
    let answer = answer(&mut stream);
    (stream, answer)
}

fn is_closed(mut stream: TcpStream) -> bool {
    // A reset is an end as well.
    stream.read(&mut [0]).map_or(true, |count| count == 0)
}

#[test]
fn who_does_not_know_the_token_is_sent_away() {
    let server = server(Some("water"));
    let hello = |token: &str| [HELLO, token.as_bytes()].concat();
    for (token, hint) in [("", "token"), ("wate", "token"), ("water2", "token"), ("Water", "token")] {
        let (stream, answer) = greet(&server, &hello(token));
        assert!(matches!(&answer, Response::Refused(why) if why.contains(hint)), "{answer:?}");
        assert!(is_closed(stream), "after {token:?}");
    }
    assert_eq!(greet(&server, &hello("water")).1, Response::Welcome);
    let (stream, answer) = greet(&server, b"GET / HTTP/1.1");
    assert!(matches!(&answer, Response::Refused(why) if why.contains("another protocol")), "{answer:?}");
    assert!(is_closed(stream));
}

#[test]
fn nonsense_is_answered_and_the_connection_goes_on() {
    let server = server(None);
    let (mut stream, welcome) = greet(&server, HELLO);
    assert_eq!(welcome, Response::Welcome);
    for nonsense in [&[][..], &[99], &[2, 0, 0, 0, 0, 255, 255, 255, 255], &[3, 1]] {
        send(&mut stream, nonsense).unwrap();
        assert!(matches!(answer(&mut stream), Response::Refused(_)), "{nonsense:?}");
    }
    let nothing_open = Request::Get { place: 7, keys: vec![b"k".to_vec()] };
    send(&mut stream, &nothing_open.encode()).unwrap();
    assert!(matches!(answer(&mut stream), Response::Refused(why) if why.contains("no such partition")));
    let unknown = Request::Open {
        application: "nobody".into(),
        store: "counts".into(),
        partitions: vec![3],
        wanted: Wanted::Rows,
        freshness: Freshness::Active,
    };
    send(&mut stream, &unknown.encode()).unwrap();
    assert_eq!(answer(&mut stream), Response::NotHere(3));
}

#[test]
fn a_frame_that_is_too_long_ends_the_connection_before_memory_is_taken() {
    let server = server(None);
    let (mut stream, _) = greet(&server, HELLO);
    std::io::Write::write_all(&mut stream, &u32::try_from(LONGEST_REQUEST + 1).unwrap().to_be_bytes()).unwrap();
    assert!(is_closed(stream));
    // Before the greeting less is read.
    let mut stream = TcpStream::connect(server.endpoint()).unwrap();
    std::io::Write::write_all(&mut stream, &100_000_u32.to_be_bytes()).unwrap();
    assert!(is_closed(stream));
}
