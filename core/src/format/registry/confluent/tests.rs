//! The client against a server of a few lines: requests, answers, refusals, and that no secret is shown.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use super::*;

/// A request as the server saw it: the first line, the authorization, the body.
type Seen = (String, Option<String>, String);

/// Answers as many requests as there are answers, each with a status and a body.
fn serve(answers: Vec<(u16, &'static str)>) -> (String, mpsc::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        for (status, body) in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut first, mut authorization, mut length) = (String::new(), None, 0);
            let _ = reader.read_line(&mut first);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => authorization = Some(value.trim().to_owned()),
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    _ => {}
                }
            }
            let mut request = vec![0; length];
            let _ = reader.read_exact(&mut request);
            let _ =
                sender.send((first.trim().to_owned(), authorization, String::from_utf8_lossy(&request).into_owned()));
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    (format!("http://{address}"), seen)
}

#[test]
fn requests_and_answers() {
    let (url, seen) = serve(vec![
        (200, r#"{"id": 7}"#),
        (200, r#"{"schema": "\"int\""}"#),
        (200, r#"{"subject": "t-value", "version": 2, "id": 9, "schemaType": "PROTOBUF", "schema": "message A {}"}"#),
        (404, r#"{"error_code": 40403, "message": "Schema not found"}"#),
        (409, r#"{"error_code": 409, "message": "incompatible"}"#),
        (200, "[1, 2]"),
        (404, r#"{"error_code": 40408, "message": "none"}"#),
        (200, r#"{"compatibilityLevel": "FULL"}"#),
    ]);
    let with_secret = url.replace("http://", "http://ada:s%40cret@");
    let registry = ConfluentRegistry::new(ConfluentConfig::new(&with_secret));
    assert!(!format!("{registry:?} {:?}", registry.config).contains("cret"), "secrets are not shown");
    let protobuf = Schema::new(SchemaType::Protobuf, "message A {}");
    assert_eq!(registry.register("a/b", &protobuf), Ok(SchemaId(7)));
    let request = seen.recv().expect("the first request");
    assert_eq!(request.0, "POST /subjects/a%2Fb/versions HTTP/1.1");
    assert_eq!(request.1.as_deref(), Some("Basic YWRhOnNAY3JldA=="));
    assert_eq!(request.2, r#"{"schema":"message A {}","schemaType":"PROTOBUF"}"#);
    let int = Schema::new(SchemaType::Avro, "\"int\"");
    assert_eq!(registry.schema(SchemaId(3)).as_deref(), Ok(&int));
    assert_eq!(registry.schema(SchemaId(3)).as_deref(), Ok(&int), "from the cache");
    let latest = registry.version("t-value", Version::Latest).expect("a version");
    assert_eq!((latest.version, latest.id, latest.schema.schema_type), (2, SchemaId(9), SchemaType::Protobuf));
    assert_eq!(registry.schema(SchemaId(4)), Err(RegistryError::UnknownId { id: SchemaId(4) }));
    assert_eq!(
        registry.register("s", &int).expect_err("it is refused").to_string(),
        "schema is not compatible with version 2 of subject s (FULL): incompatible"
    );
}

#[test]
fn servers_that_fail() {
    let (url, _seen) =
        serve(vec![(500, "oops"), (503, ""), (200, r#"["b", "a"]"#), (401, "who are you"), (200, "<html>")]);
    let registry = ConfluentRegistry::new(ConfluentConfig::new(&url));
    assert_eq!(registry.subjects(), Ok(vec!["a".to_owned(), "b".to_owned()]), "after two failures");
    let error = registry.subjects().expect_err("no name was given");
    assert_eq!(error.to_string(), format!("the schema registry at {url} answered 401: who are you"));
    assert!(!error.is_retryable());
    let error = registry.subjects().expect_err("no JSON").to_string();
    assert!(error.contains("it answers with something else"), "{error}");
    let gone = ConfluentRegistry::new(ConfluentConfig::new("http://127.0.0.1:1"));
    let error = gone.subjects().expect_err("nobody is there");
    assert!(error.is_retryable(), "{error}");
}
