//! Text to statements: the language without its meaning.
//!
//! [`parse_script`] and [`parse_statement`] give [`ast`] trees or a [`SyntaxError`] with a place. Names are not looked up
//! and types not resolved: that is the catalog's and the planner's work.
//!
//! # Map
//! - [`ast`]: the trees, with `stream_query`; [`position`]: places
//! - `dialect`, `lexer`: text to tokens, on top of `sqlparser`
//! - `parser`: the cursor over the tokens and the pieces that all statements use; `statement`: which one it is;
//!   `create`, `change`, `manage`: statements; `type_ref`: types; `query`: continuous queries; `pull`: queries that
//!   DataFusion runs
//! - [`script`]: many statements; [`suggest`]: the nearest word to a misspelt one
//!
//! Limits: [`MAX_TEXT_BYTES`] of text, [`MAX_DEPTH`] levels of nesting, [`MAX_EXPRESSION_TOKENS`] tokens in one expression
//! or pull query, [`MAX_EXPRESSION_DEPTH`] operators on each other (`depth`).

mod assert;
pub mod ast;
mod change;
#[cfg(test)]
mod compact;
mod connector;
mod create;
mod depth;
mod dialect;
pub(crate) mod error;
mod expression_size;
mod lexer;
mod manage;
#[cfg(test)]
mod mistakes;
mod parser;
pub mod position;
mod pull;
mod query;
mod queue;
pub mod script;
mod statement;
mod stream_query;
mod subquery;
pub mod suggest;
mod type_ref;
mod window;

pub use depth::MAX_EXPRESSION_DEPTH;
pub use dialect::MillstreamDialect;
pub use error::{SyntaxError, render_at};
pub use lexer::{MAX_DEPTH, MAX_TEXT_BYTES};
pub use parser::MAX_EXPRESSION_TOKENS;
pub use position::{Position, Span, position_of, span_of};
pub use script::{is_complete, parse_script, parse_statement};
