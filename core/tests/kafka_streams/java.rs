//! Kafka Streams in a process of its own: `tests/streams`, which says how cases and answers are written.
//!
//! One process serves all tests. Cases are written as they come, a thread reads the answers, in whatever order, and hands each to who asked.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use millstream::record::{Header, Record, Timestamp};

use super::case::{Outcome, Output, Step};

/// The exit status that says that Java or maven is missing.
const MISSING: i32 = 69;

type Waiting = Arc<Mutex<HashMap<u64, Sender<Outcome>>>>;

/// The running process.
pub(crate) struct KafkaStreams {
    input: Mutex<(ChildStdin, u64)>,
    waiting: Waiting,
}

impl KafkaStreams {
    /// The process that all tests share; `None` if there is no Java here, outside CI.
    pub(crate) fn get() -> Option<&'static Self> {
        static PROCESS: OnceLock<Option<KafkaStreams>> = OnceLock::new();
        PROCESS.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/streams/run");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let this = Self { input: Mutex::new((input, 0)), waiting: Waiting::default() };
        let waiting = Arc::clone(&this.waiting);
        thread::spawn(move || read_answers(output, &waiting));
        // An empty case says that it runs. If it does not, its exit status says why.
        if this.ask("table", &[]).recv().is_ok() { Some(this) } else { refuse(child) }
    }

    /// Asks what comes of these steps; the answer comes in time.
    pub(crate) fn ask(&self, topology: &str, steps: &[Step]) -> Receiver<Outcome> {
        let (sender, receiver) = channel();
        let mut input = self.input.lock().expect("nobody panicked with it");
        input.1 += 1;
        let id = input.1;
        self.waiting.lock().expect("nobody panicked with it").insert(id, sender);
        let mut case = format!("case {id} {topology}\n");
        steps.iter().for_each(|step| write_step(&mut case, step));
        case.push_str("end\n");
        // If the process is gone nobody will answer, which who asked is told.
        if input.0.write_all(case.as_bytes()).is_err() {
            self.waiting.lock().expect("nobody panicked with it").remove(&id);
        }
        receiver
    }
}

fn refuse(mut child: Child) -> Option<KafkaStreams> {
    let status = child.wait().expect("it can be waited for");
    let missing = status.code() == Some(MISSING);
    assert!(
        missing && std::env::var_os("CI").is_none(),
        "Kafka Streams did not start: {status}; run tests/streams/run </dev/null to see why"
    );
    None
}

fn write_step(case: &mut String, step: &Step) {
    match step {
        Step::Clock(millis) => writeln!(case, "clock {millis}").expect("text takes it"),
        Step::Record { topic, record } => {
            let (key, value) = (word(record.key.as_deref()), word(record.value.as_deref()));
            write!(case, "record {topic} {key} {value} {}", record.timestamp.0).expect("text takes it");
            for header in &record.headers {
                write!(case, " {}={}", header.name, word(header.value.as_deref())).expect("text takes it");
            }
            case.push('\n');
        }
    }
}

fn word(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) => bytes.iter().fold("x".to_owned(), |word, byte| format!("{word}{byte:02x}")),
    }
}

fn read_answers(lines: BufReader<ChildStdout>, waiting: &Waiting) {
    let (mut id, mut outcome) = (0, Outcome::default());
    for line in lines.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "case" => id = words[1].parse().expect("a number"),
            "output" => outcome.outputs.push(output(&words)),
            "failed" => outcome.failure = Some(words[1..].join(" ")),
            "end" => {
                let asked = waiting.lock().expect("nobody panicked with it").remove(&id);
                // Who asked may have given up.
                asked.map(|asked| asked.send(std::mem::take(&mut outcome)).ok());
            }
            _ => panic!("not an answer: {line}"),
        }
    }
    waiting.lock().expect("nobody panicked with it").clear();
}

fn output(words: &[&str]) -> Output {
    let header = |word: &&str| {
        let (name, value) = word.split_once('=').expect("NAME=VALUE");
        Header { name: name.to_owned(), value: bytes(value) }
    };
    let record = Record {
        key: bytes(words[3]),
        value: bytes(words[4]),
        timestamp: Timestamp(words[5].parse().expect("a number")),
        headers: words[6..].iter().map(header).collect(),
    };
    Output { step: words[1].parse().expect("a number"), topic: words[2].to_owned(), record }
}

fn bytes(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix('x')?;
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    Some((0..digits.len()).step_by(2).map(byte).collect())
}
