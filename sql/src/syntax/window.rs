//! `WINDOW [name] kind (..)`: which windows, how they are aligned, and how long they are kept open.
//!
//! ```text
//! TUMBLING (SIZE n unit option*)     HOPPING (SIZE n unit, ADVANCE BY n unit option*)     CUMULATE (SIZE n unit, STEP n unit option*)
//! SESSION (n unit option*)
//! option = , OFFSET n unit | , TIMEZONE 'zone' | , RETENTION n unit | , GRACE PERIOD n unit        GRACE PERIOD stands last
//! ```
//! CUMULATE, OFFSET and TIMEZONE are not ksqlDB's. Whether the lengths fit one another is seen when the query is planned.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{
    SyntaxError,
    ast::{Interval, Window, WindowClause},
    parser::{Parsed, Parser},
};

const KINDS: [&str; 4] = ["TUMBLING", "HOPPING", "CUMULATE", "SESSION"];

impl Parser<'_> {
    pub(super) fn window(&mut self) -> Parsed<WindowClause> {
        let start = self.advance();
        // A name may stand before the kind; it means nothing.
        if !self.is_any(&KINDS) && self.word_at(1).is_some_and(|word| KINDS.contains(&word)) {
            self.advance();
        }
        let kind = self.expect_any(&KINDS)?;
        let open = self.expect_token(&Token::LParen)?;
        let window = match kind {
            0 => Window::Tumbling { size: self.size()? },
            1 => {
                let size = self.size()?;
                self.expect_token(&Token::Comma)?;
                self.expect("ADVANCE")?;
                self.expect("BY")?;
                Window::Hopping { size, advance: self.length("an advance")? }
            }
            2 => {
                let size = self.size()?;
                self.expect_token(&Token::Comma)?;
                self.expect("STEP")?;
                Window::Cumulate { size, step: self.length("a step")? }
            }
            _ => Window::Session { gap: self.length("a gap")? },
        };
        let mut clause = WindowClause { window, offset: None, zone: None, retention: None, grace: None, span: start };
        while self.eat_token(&Token::Comma) {
            self.window_option(&mut clause)?;
        }
        self.close(open)?;
        clause.span = start.to(self.previous());
        Ok(clause)
    }

    fn window_option(&mut self, clause: &mut WindowClause) -> Parsed<()> {
        let is_session = matches!(clause.window, Window::Session { .. });
        match self.word_at(0) {
            Some(word @ ("OFFSET" | "TIMEZONE")) if is_session => {
                let problem = format!("sessions have no {word}: each begins with its first record");
                return Err(SyntaxError::new(self.here().start, problem));
            }
            Some(word @ ("OFFSET" | "TIMEZONE" | "RETENTION")) if clause.grace.is_some() => {
                return Err(SyntaxError::new(self.here().start, format!("{word} must come before GRACE PERIOD")));
            }
            Some("OFFSET") if clause.offset.is_some() => return Err(self.twice("OFFSET")),
            Some("TIMEZONE") if clause.zone.is_some() => return Err(self.twice("TIMEZONE")),
            Some("RETENTION") if clause.retention.is_some() => return Err(self.twice("RETENTION")),
            Some("GRACE") if clause.grace.is_some() => return Err(self.twice("GRACE PERIOD")),
            Some("OFFSET") => {
                self.advance();
                clause.offset = Some(self.length("an offset")?);
            }
            Some("TIMEZONE") => {
                self.advance();
                clause.zone = Some(self.string("the name of a time zone")?);
            }
            Some("RETENTION") => {
                self.advance();
                clause.retention = Some(self.interval("a time after RETENTION")?);
            }
            Some("GRACE") => clause.grace = Some(self.grace()?),
            _ if is_session => return Err(self.expected(&["RETENTION", "GRACE PERIOD"])),
            _ => return Err(self.expected(&["OFFSET", "TIMEZONE", "RETENTION", "GRACE PERIOD"])),
        }
        Ok(())
    }

    fn twice(&self, option: &str) -> SyntaxError {
        SyntaxError::new(self.here().start, format!("{option} is given twice"))
    }

    fn size(&mut self) -> Parsed<Interval> {
        self.expect("SIZE")?;
        self.length("a size")
    }

    /// An interval that is not empty.
    fn length(&mut self, what: &str) -> Parsed<Interval> {
        let interval = self.interval(what)?;
        if interval.count == 0 {
            return Err(SyntaxError::new(interval.span.start, format!("{what} of a window must be more than 0")));
        }
        Ok(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    #[test]
    fn an_option_comes_once() {
        let check = |options: &str, want: &str| {
            let text = format!("SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY{options}) GROUP BY a EMIT CHANGES");
            assert_eq!(compact(&text), want, "{options}");
        };
        check(", OFFSET 1 HOUR, OFFSET 1 HOUR", "1:61: OFFSET is given twice");
        check(", TIMEZONE 'UTC', RETENTION 2 DAYS, TIMEZONE 'UTC'", "1:80: TIMEZONE is given twice");
        check(", RETENTION 2 DAYS, RETENTION 2 DAYS", "1:64: RETENTION is given twice");
        check(", GRACE PERIOD 0 DAYS, GRACE PERIOD 0 DAYS", "1:67: GRACE PERIOD is given twice");
        check(
            ", RETENTION 2 DAYS, GRACE PERIOD 0 DAYS, RETENTION 2 DAYS",
            "1:85: RETENTION must come before GRACE PERIOD",
        );
    }
}
