//! Connections against a broker that the test plays over TCP: what it may do wrong, and how we say who we are.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    Outcome, Request, WireError,
    channel::{Channel, Dialer},
    classic_group::{Heartbeat, HeartbeatAnswer},
    cluster_messages::{
        ApiRange, ApiVersions, ApiVersionsAnswer, FindCoordinator, FindCoordinatorAnswer, SaslAuthenticate,
        SaslAuthenticateAnswer, SaslHandshake, SaslHandshakeAnswer,
    },
    codec::{Blob, Wire, Writer},
    coordinator::Coordinator,
    error_code,
};
use crate::log::kafka::{
    KafkaConfig, Sasl, Secret, Token,
    clock::Deadline,
    connection::{BrokerAddress, Connection},
};

/// One side of a conversation, in the order in which it goes.
enum Say {
    /// Takes a request, answers it with these bytes after the number.
    Answer(Vec<u8>),
    /// Takes a request, sends these bytes as they are.
    Raw(Vec<u8>),
    /// Takes a request, closes.
    Close,
    /// Takes a request, says nothing for a while.
    Nothing,
}

fn answer<R: Request>(message: &R::Answer) -> Say {
    let mut out = Writer::default();
    if R::FLEXIBLE_ANSWER_HEADER {
        out.varint(0);
    }
    message.put(&mut out, R::VERSIONS.1);
    Say::Answer(out.0)
}

fn versions() -> Say {
    let range = |key| ApiRange { key, least: 0, most: 99 };
    let keys = [Heartbeat::KEY, FindCoordinator::KEY, SaslHandshake::KEY, SaslAuthenticate::KEY].map(range);
    answer::<ApiVersions>(&ApiVersionsAnswer { keys: keys.to_vec(), ..ApiVersionsAnswer::default() })
}

/// A broker that follows a script, a connection after another; what it was asked.
fn broker(script: Vec<Vec<Say>>) -> (BrokerAddress, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let play = move || {
        let mut asked = Vec::new();
        for connection in script {
            let (mut stream, _) = listener.accept().unwrap();
            connection.into_iter().for_each(|say| asked.extend(take_part(&mut stream, say)));
        }
        asked
    };
    (BrokerAddress { host: "127.0.0.1".into(), port }, thread::spawn(play))
}

fn take_part(stream: &mut TcpStream, say: Say) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut request = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut request).unwrap();
    match say {
        Say::Answer(message) => {
            let length = u32::try_from(message.len() + 4).unwrap().to_be_bytes();
            stream.write_all(&[&length, &request[4..8], &message].concat()).unwrap();
        }
        Say::Raw(bytes) => stream.write_all(&bytes).unwrap(),
        Say::Close => stream.shutdown(std::net::Shutdown::Both).unwrap(),
        Say::Nothing => thread::sleep(Duration::from_millis(300)),
    }
    Some(request)
}

fn connection(address: &BrokerAddress) -> Connection {
    KafkaConfig::new(&address.to_string()).unwrap().connection
}

fn open(address: &BrokerAddress, sasl: Option<Sasl>) -> Result<Channel, WireError> {
    Channel::open(&Dialer::new(&Connection { sasl, ..connection(address) }).unwrap(), address)
}

fn beat(say: Say) -> Result<HeartbeatAnswer, WireError> {
    let (address, _broker) = broker(vec![vec![versions(), say]]);
    open(&address, None).unwrap().call(&Heartbeat::default(), Deadline::after(Duration::from_millis(200)))
}

#[test]
fn what_comes_back_is_the_answer_or_its_fate_is_unknown() {
    assert_eq!(beat(answer::<Heartbeat>(&HeartbeatAnswer { throttle: 0, error: 27 })).unwrap().error, 27);
    let fate = |say: Say, hint: &str| {
        let error = beat(say).unwrap_err();
        assert_eq!(error.outcome, Outcome::Unknown);
        assert!(error.problem.contains(hint), "{error}");
    };
    fate(Say::Close, "closed");
    fate(Say::Nothing, "in time");
    // 2 GiB are announced: nothing is allocated for it.
    fate(Say::Raw(vec![0x7f, 0xff, 0xff, 0xff]), "too long");
    fate(Say::Raw(b"HTTP/1.1 400 Bad Request".to_vec()), "too long");
    fate(Say::Raw(vec![0, 0, 0, 5, 0, 0, 0, 99, 0]), "something else");
    fate(Say::Answer(vec![0, 0, 0]), "too early");
}

#[test]
fn a_broker_that_is_too_old_and_one_that_is_not_there_are_told_apart() {
    let (address, _broker) = broker(vec![vec![Say::Answer(vec![0, 35, 0, 0, 0, 0])]]);
    let error = open(&address, None).unwrap_err();
    assert_eq!(error.outcome, Outcome::Refused);
    assert!(error.problem.contains("too old"), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = BrokerAddress { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    drop(listener);
    let error = Dialer::new(&connection(&address)).unwrap().any().unwrap_err();
    assert_eq!(error.outcome, Outcome::NotSent);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_message_that_the_broker_does_not_know_is_not_sent() {
    let answer = answer::<ApiVersions>(&ApiVersionsAnswer::default());
    let (address, _broker) = broker(vec![vec![answer]]);
    let mut channel = open(&address, None).unwrap();
    let error = channel.call(&Heartbeat::default(), Deadline::after(Duration::from_secs(1))).unwrap_err();
    assert_eq!(error.outcome, Outcome::Refused);
    assert!(error.problem.contains("does not speak Heartbeat"), "{error}");
}

#[test]
fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let play = move || {
        for _ in 0..2 {
            let here = FindCoordinatorAnswer { host: "127.0.0.1".into(), port: port.into(), ..Default::default() };
            let beat = answer::<Heartbeat>(&HeartbeatAnswer::default());
            for script in [vec![versions(), answer::<FindCoordinator>(&here)], vec![versions(), beat]] {
                let (mut stream, _) = listener.accept().unwrap();
                script.into_iter().for_each(|say| drop(take_part(&mut stream, say)));
            }
            closed.send(()).unwrap();
        }
    };
    let playing = thread::spawn(play);
    let address = BrokerAddress { host: "127.0.0.1".into(), port };
    let mut coordinator = Coordinator::new(Dialer::new(&connection(&address)).unwrap(), "app");
    for _ in 0..2 {
        coordinator.call(&Heartbeat::default(), Duration::from_secs(5)).unwrap();
        is_closed.recv().unwrap();
    }
    playing.join().unwrap();
}

fn steps(steps: &[(i16, &str)]) -> Vec<Say> {
    let handshake = answer::<SaslHandshake>(&SaslHandshakeAnswer::default());
    let step = |(error, bytes): &(i16, &str)| {
        let bytes = Blob(bytes.as_bytes().to_vec());
        answer::<SaslAuthenticate>(&SaslAuthenticateAnswer { error: *error, bytes, ..Default::default() })
    };
    [versions(), handshake].into_iter().chain(steps.iter().map(step)).collect()
}

/// What the broker hears in the last step.
fn heard(asked: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(asked.last().unwrap()).into_owned()
}

#[test]
fn we_say_who_we_are_as_the_mechanism_wants_it() {
    let (address, playing) = broker(vec![steps(&[(0, "")])]);
    open(&address, Some(Sasl::Plain { user: "ada".into(), password: Secret::new("tiger") })).unwrap();
    assert!(heard(&playing.join().unwrap()).contains("\0ada\0tiger"));

    let token = || {
        let lifetime = Duration::from_secs(60);
        Ok(Token { value: Secret::new("abc.def"), principal: "ada".into(), lifetime })
    };
    let (address, playing) = broker(vec![steps(&[(0, "")])]);
    open(&address, Some(Sasl::OauthBearer(Arc::new(token)))).unwrap();
    assert!(heard(&playing.join().unwrap()).contains("n,,\u{1}auth=Bearer abc.def\u{1}\u{1}"));
    let (address, _playing) = broker(vec![steps(&[(0, "{\"status\":\"invalid_token\"}")])]);
    let error = open(&address, Some(Sasl::OauthBearer(Arc::new(token)))).unwrap_err();
    assert!(error.outcome == Outcome::Refused && !error.problem.contains("abc"), "{error}");
    let (address, _playing) = broker(vec![steps(&[])]);
    let none = || Err("the identity provider is away".to_owned());
    let error = open(&address, Some(Sasl::OauthBearer(Arc::new(none)))).unwrap_err();
    assert!(error.outcome == Outcome::NotSent && error.problem.contains("is away"), "{error}");
}

#[test]
fn a_refusal_names_the_broker_and_no_secret() {
    let sasl = || Some(Sasl::Plain { user: "ada".into(), password: Secret::new("tiger") });
    let (address, _playing) = broker(vec![steps(&[(58, "")])]);
    let error = open(&address, sasl()).unwrap_err();
    assert_eq!(error.outcome, Outcome::Refused);
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("PLAIN failed") && !text.contains("tiger"), "{text}");

    let mechanisms = vec!["GSSAPI".to_owned()];
    let handshake = SaslHandshakeAnswer { error: error_code::UNSUPPORTED_VERSION, mechanisms };
    let (address, _playing) = broker(vec![vec![versions(), answer::<SaslHandshake>(&handshake)]]);
    assert!(open(&address, sasl()).unwrap_err().problem.contains("it offers GSSAPI"));
}
