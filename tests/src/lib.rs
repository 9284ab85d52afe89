//! Whole-system tests of Millstream; the library itself is empty.
//!
//! They see the system as its users do: the binary as a process, the SQL engine and the DSL through their public doors, and they judge
//! results by a second computation that shares no code with the engine (DataFusion over the whole input, or plain Rust). The tests are
//! in `tests/system`:
//!
//! - `tidy`: the rules for the code that a machine can keep
//! - `equality`: windows and joins against a batch recomputation, on flights and on a million bids
//! - `crash`: a pipeline that is killed again and again
//! - `memory`: more keys than memory
//! - `bad_input`: what users and disks do wrong
//!
//! `cargo test --workspace --test system` runs them. The memory test with 10 million keys takes longer and is run by
//! `cargo test --workspace --test system -- --ignored ten_million_keys`.
