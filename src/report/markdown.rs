//! Turns foreign text into GitHub's Markdown in which it stays text: no mention, link, image, HTML, table border, heading or reference.
//!
//! Rules of escaping: <https://github.github.com/gfm/>; mentions and references are found by GitHub after Markdown has been read, in text but
//! not in code, so that a backslash does not stop them and a zero-width space does.

use super::plain::plain;

/// The longest line of a code block, in characters.
const MAX_LINE: usize = 500;
const ZERO_WIDTH: char = '\u{200b}';

/// Returns foreign text for a paragraph, a list or a cell of a table: one line of prose.
pub fn text(foreign: &str) -> String {
    let line = one_line(foreign);
    let characters: Vec<char> = line.chars().collect();
    let mut out = String::with_capacity(line.len() + 16);
    for (index, &character) in characters.iter().enumerate() {
        let next = characters.get(index + 1);
        match character {
            '@' => out.extend(['@', ZERO_WIDTH]),
            '#' if next.is_some_and(char::is_ascii_digit) => out.extend(['\\', '#', ZERO_WIDTH]),
            // Escaped outside of a formula, a dollar may still begin one, and in an element alone it is one to other readers
            // (<https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/writing-mathematical-expressions>).
            '$' => out.push_str("<span>\\$</span>"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' => out.extend(['\\', character]),
            // The name of an emoji is looked for after Markdown has been read, as mentions are.
            ':' if next.is_some_and(|next| next.is_ascii_alphanumeric() || "_+-".contains(*next)) => out.extend([':', ZERO_WIDTH]),
            // An address follows at once, the rest of a sentence after a space.
            ':' if next.is_some_and(|next| !next.is_whitespace()) => out.extend(['\\', ':']),
            // At the beginning these make a list, a heading's underline or a rule.
            '-' | '+' | '=' if index == 0 => out.extend(['\\', character]),
            '.' | ')' if index > 0 && characters[..index].iter().all(char::is_ascii_digit) => out.extend(['\\', character]),
            '.' if ends_with(&characters[..index], "www") => out.extend(['\\', '.']),
            '-' if ends_with(&characters[..index], "gh") => out.extend([ZERO_WIDTH, '-']),
            _ => out.push(character),
        }
    }
    // What has no character that can be seen is something all the same.
    if out.is_empty() && !foreign.is_empty() { "(empty)".to_owned() } else { out }
}

/// Returns foreign text as code within a line; for a cell of a table use [`cell_code`].
pub fn code(foreign: &str) -> String {
    let line = one_line(foreign);
    if line.trim().is_empty() {
        return String::from("(empty)");
    }
    let fence = "`".repeat(longest_run(&line) + 1);
    // A space on both sides is taken away again by the reader of Markdown, and keeps a backtick at the edge apart from the fence.
    let pad = if line.starts_with('`') || line.ends_with('`') || (line.starts_with(' ') && line.ends_with(' ')) { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Returns foreign text as code within a cell of a table, where a bar would end the cell even in code.
pub fn cell_code(foreign: &str) -> String {
    // A backslash before the bar would take the escape to itself.
    code(foreign).replace("\\|", "\\\u{200b}|").replace('|', "\\|")
}

/// Returns foreign lines as a code block that no line can end; without colours, each line cut at 500 characters.
pub fn block<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut body = String::new();
    for line in lines.into_iter().flat_map(super::plain::lines) {
        let line = plain(line);
        let cut: String = line.chars().take(MAX_LINE).collect();
        // Our own marks in a comment are read line by line, in code as well.
        body.push_str(&cut.replace("<!-- cutover:", "<!\u{2011}- cutover:"));
        body.push_str(if cut.len() < line.len() { "…\n" } else { "\n" });
    }
    let fence = "`".repeat(longest_run(&body).max(2) + 1);
    format!("{fence}text\n{body}{fence}\n")
}

/// Returns a link with a label that is Markdown already; only the label where the address is not a plain web address.
pub fn link(label: &str, address: &str) -> String {
    match url::Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            // The parser percent-encodes spaces, quotes and angle brackets; parentheses and bars are left to us.
            let address = url.as_str().replace('(', "%28").replace(')', "%29").replace('|', "%7C").replace('\\', "%5C");
            format!("[{label}]({address})")
        }
        _ => label.to_owned(),
    }
}

fn one_line(foreign: &str) -> String {
    plain(foreign).trim().to_owned()
}

fn ends_with(characters: &[char], word: &str) -> bool {
    let length = word.len();
    let Some(start) = characters.len().checked_sub(length) else { return false };
    let same = characters[start..].iter().zip(word.chars()).all(|(a, b)| a.eq_ignore_ascii_case(&b));
    same && !start.checked_sub(1).is_some_and(|before| characters[before].is_alphanumeric())
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}
