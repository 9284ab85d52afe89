//! The words of a `.proto` file.
//!
//! After the language specification of Protocol Buffers (proto2 and proto3), section "Lexical Elements".

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name, maybe with dots: `google.protobuf.Timestamp`.
    Name(String),
    /// A number, as it is written.
    Number(String),
    /// A string, its escapes resolved.
    Text(String),
    /// Anything else, one sign.
    Sign(char),
    /// The end.
    End,
}

/// Cuts a file into words; each with its line, from 1.
pub(super) fn words(text: &str) -> Result<Vec<(Word, usize)>, String> {
    let mut words = Vec::new();
    let mut letters = text.char_indices().peekable();
    let mut line = 1;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\n' => line += 1,
            letter if letter.is_whitespace() => {}
            '/' if text[at..].starts_with("//") => while letters.next_if(|(_, letter)| *letter != '\n').is_some() {},
            '/' if text[at..].starts_with("/*") => {
                let length = text[at..].find("*/").ok_or_else(|| format!("line {line}: a comment has no end"))?;
                while let Some((_, letter)) = letters.next_if(|(place, _)| *place < at + length + 2) {
                    line += usize::from(letter == '\n');
                }
            }
            '"' | '\'' => {
                let mut value = Vec::new();
                loop {
                    match letters.next() {
                        None | Some((_, '\n')) => return Err(format!("line {line}: a string has no end")),
                        Some((_, end)) if end == letter => break,
                        Some((_, '\\')) => escape(&mut letters, &mut value, line)?,
                        Some((_, other)) => {
                            let mut room = [0; 4];
                            value.extend_from_slice(other.encode_utf8(&mut room).as_bytes());
                        }
                    }
                }
                words.push((Word::Text(String::from_utf8_lossy(&value).into_owned()), line));
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let mut end = at + 1;
                while let Some((place, _)) =
                    letters.next_if(|(_, next)| next.is_ascii_alphanumeric() || matches!(next, '_' | '.'))
                {
                    end = place + 1;
                }
                words.push((Word::Name(text[at..end].to_owned()), line));
            }
            letter if letter.is_ascii_digit() => {
                let mut end = at + 1;
                while let Some((place, _)) = letters.next_if(|(_, next)| next.is_ascii_alphanumeric() || *next == '.') {
                    end = place + 1;
                }
                words.push((Word::Number(text[at..end].to_owned()), line));
            }
            sign => words.push((Word::Sign(sign), line)),
        }
    }
    words.push((Word::End, line));
    Ok(words)
}

fn escape(
    letters: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    value: &mut Vec<u8>,
    line: usize,
) -> Result<(), String> {
    let Some((_, letter)) = letters.next() else { return Err(format!("line {line}: a string has no end")) };
    let plain = match letter {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'v' => 11,
        'x' | 'X' | '0'..='7' => {
            let (radix, most) = if letter.is_ascii_digit() { (8, 3) } else { (16, 2) };
            let mut digits = String::new();
            if radix == 8 {
                digits.push(letter);
            }
            while let Some((_, digit)) = letters.next_if(|(_, next)| digits.len() < most && next.is_digit(radix)) {
                digits.push(digit);
            }
            let number = u32::from_str_radix(&digits, radix).ok().and_then(|number| u8::try_from(number).ok());
            number.ok_or_else(|| format!("line {line}: \\{letter}{digits} is no byte"))?
        }
        other if other.is_ascii() => other as u8,
        other => return Err(format!("line {line}: \\{other} is no escape")),
    };
    value.push(plain);
    Ok(())
}
