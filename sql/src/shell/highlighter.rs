//! Colours for SQL as it is typed.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::{
    command::Command,
    token::{Kind, Token, tokens},
    words::{is_function, is_keyword},
};

/// Colours words by what they are. What is still open, such as a string without its end, is underlined.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        if let Some(Ok(_)) = Command::parse(line) {
            styled.push((Color::Cyan.bold(), line.to_owned()));
            return styled;
        }
        for token in tokens(line) {
            let text = &line[token.span.clone()];
            styled.push((style(&token, text), text.to_owned()));
        }
        styled
    }
}

/// `text` with terminal colours, for showing statements rather than editing them.
pub fn paint(text: &str) -> String {
    tokens(text)
        .iter()
        .map(|token| style(token, &text[token.span.clone()]).paint(&text[token.span.clone()]).to_string())
        .collect()
}

fn style(token: &Token, text: &str) -> Style {
    let style = match token.kind {
        Kind::Word if is_keyword(text) => Color::Blue.bold(),
        Kind::Word if is_function(text) => Color::Cyan.normal(),
        Kind::Number => Color::Magenta.normal(),
        Kind::Text => Color::Green.normal(),
        Kind::Name => Color::Yellow.normal(),
        Kind::Comment => Style::new().dimmed(),
        Kind::Word | Kind::Space | Kind::Semicolon | Kind::Other => Style::new(),
    };
    if token.closed { style } else { style.underline() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[(&str, Style)]) {
        let styled = SqlHighlighter.highlight(line, 0);
        let found: Vec<_> = styled.buffer.iter().map(|(style, text)| (text.as_str(), *style)).collect();
        assert_eq!(found, expected, "{line:?}");
        assert_eq!(styled.raw_string(), line);
    }

    #[test]
    fn words_are_coloured_by_what_they_are() {
        let plain = Style::new();
        let space = (" ", plain);
        check("select x", &[("select", Color::Blue.bold()), space, ("x", plain)]);
        check("sum 'a", &[("sum", Color::Cyan.normal()), space, ("'a", Color::Green.underline())]);
        check("1 -- c", &[("1", Color::Magenta.normal()), space, ("-- c", Style::new().dimmed())]);
        check("`n`", &[("`n`", Color::Yellow.normal())]);
    }

    #[test]
    fn commands_of_the_shell_have_one_colour() {
        check("output json", &[("output json", Color::Cyan.bold())]);
    }
}
