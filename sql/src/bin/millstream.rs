//! The `millstream` command: everything is in the library, see `millstream_sql::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_sql::cli::main()
}
