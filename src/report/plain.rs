//! Makes foreign text harmless for a terminal or a page: no escape sequences, no control characters, nothing that reorders what is read.

/// Returns the text as one line without escape sequences and control characters; tabs and line ends become spaces.
pub(crate) fn plain(text: &str) -> String {
    strip(text, false)
}

/// Returns the text as one line with its colours (SGR sequences) and without any other escape sequence or control character.
pub(super) fn coloured(text: &str) -> String {
    strip(text, true)
}

/// Returns the lines of what a program wrote as one: it may hold carriage returns, at which a terminal and GitHub's runner begin a new line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let whole = text.trim_end_matches(['\r', '\n']);
    whole.split(['\r', '\n']).filter(move |line| whole.is_empty() || !line.is_empty())
}

fn strip(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => match rest.peek() {
                Some('[') => {
                    rest.next();
                    let (parameters, end) = control_sequence(&mut rest);
                    if colours && end == Some('m') && parameters.bytes().all(|byte| byte.is_ascii_digit() || b";:".contains(&byte)) {
                        out.push_str("\u{1b}[");
                        out.push_str(&parameters);
                        out.push('m');
                    }
                }
                // Operating system commands, device control and the like: up to BEL or ST.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    rest.next();
                    string_sequence(&mut rest);
                }
                Some(_) => {
                    rest.next();
                }
                None => {}
            },
            '\t' => out.push_str("    "),
            '\n' | '\r' => out.push(' '),
            character if character.is_control() || hidden(character) => {}
            character => out.push(character),
        }
    }
    out
}

fn control_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> (String, Option<char>) {
    let mut parameters = String::new();
    for character in rest.by_ref() {
        match character {
            '\u{20}'..='\u{3f}' => parameters.push(character),
            '\u{40}'..='\u{7e}' => return (parameters, Some(character)),
            _ => break,
        }
    }
    (parameters, None)
}

fn string_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(character) = rest.next() {
        match character {
            '\u{07}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Characters that nobody sees and that change the order or the meaning of what is seen, tags and fillers among them.
fn hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
