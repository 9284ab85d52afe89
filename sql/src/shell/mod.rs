//! The interactive shell: reads statements, has the engine run them, shows what they answer.
//!
//! - [`session`]: the loop; [`editor`]: the line editor with its keys
//! - [`console`]: statements to answers, also for scripts and `-e`; here push queries are shown live
//! - [`command`]: what the shell does itself (`help`, `output json`, `run script 'f'`, ..)
//! - [`token`], [`words`]: SQL as the editor sees it, even half written; [`highlighter`], [`completer`], [`validator`] build on it
//! - [`help`]: what `help` prints; [`interrupt`]: Ctrl-C and termination signals; [`prompt`]: what stands before the cursor
//!
//! The shell knows the language by its words only: what a statement means is the engine's work.

pub mod command;
pub mod completer;
pub mod console;
pub mod editor;
pub mod help;
pub mod highlighter;
pub mod interrupt;
pub mod prompt;
pub mod session;
pub mod token;
pub mod validator;
pub mod words;
