//! The examples as tests: each file ends with a test that runs its `main`, and is a module of this one binary.

#![expect(clippy::duplicate_mod, reason = "each example has the file that says where it runs")]

#[path = "../../01_word_count.rs"]
mod word_count;

#[path = "../../02_windows_and_grace.rs"]
mod windows_and_grace;

#[path = "../../03_stream_table_join.rs"]
mod stream_table_join;

#[path = "../../04_sql_push_query.rs"]
mod sql_push_query;

#[path = "../../05_pull_query_on_a_view.rs"]
mod pull_query_on_a_view;

#[path = "../../06_your_own_source.rs"]
mod your_own_source;

#[path = "../../07_crash_and_recover.rs"]
mod crash_and_recover;

#[path = "../../08_joining_streams.rs"]
mod joining_streams;

#[path = "../../09_your_own_operator.rs"]
mod your_own_operator;

#[path = "../../10_asking_a_service.rs"]
mod asking_a_service;

#[path = "../../11_interactive_queries.rs"]
mod interactive_queries;

#[path = "../../12_errors_and_late_records.rs"]
mod errors_and_late_records;

#[path = "../../13_work_queue.rs"]
mod work_queue;
