//! The line editor: history, completion, colours and keys put together.

use std::path::Path;

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, default_emacs_keybindings,
};

use super::{
    completer::{Names, SqlCompleter},
    highlighter::SqlHighlighter,
    validator::SqlValidator,
};

/// Inputs that are remembered.
const HISTORY_LENGTH: usize = 5_000;

const COMPLETION_MENU: &str = "completion";

/// An editor that keeps its history in `history` and completes the names that `names` gives. A history that cannot be kept
/// is no reason to refuse work: it is said once and the shell goes on without.
pub fn editor(history: &Path, names: Names) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(COMPLETION_MENU.to_owned()), ReedlineEvent::MenuNext]),
    );
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
    let menu = ColumnarMenu::default().with_name(COMPLETION_MENU).with_columns(4).with_column_padding(2);
    let editor = Reedline::create()
        .with_completer(Box::new(SqlCompleter::new(names)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_highlighter(Box::new(SqlHighlighter))
        .with_hinter(Box::new(DefaultHinter::default().with_style(Style::new().fg(Color::DarkGray))))
        .with_validator(Box::new(SqlValidator))
        .use_bracketed_paste(true)
        .with_edit_mode(Box::new(Emacs::new(keys)));
    match FileBackedHistory::with_file(HISTORY_LENGTH, history.to_owned()) {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            eprintln!("no history is kept: {}: {error}", history.display());
            editor
        }
    }
}
