//! Lines of a gate's output as they may be relayed.
//!
//! The runner of GitHub Actions obeys commands in whatever a step prints, the output of a test included: `::name::` at the beginning of a
//! line after any white space, and `##[name]` anywhere in it (actions/runner, `ActionCommand`). A line that passed [`relayable`] holds none.

use std::borrow::Cow;

/// What becomes of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Colours and styles (SGR sequences) stay; every other control sequence goes.
    Keep,
    /// All control sequences go.
    Strip,
}

/// What is put between the characters of a command so that it is none: no glyph, no width (U+2060 WORD JOINER).
const APART: char = '\u{2060}';

/// Returns `line` without control characters but tabs, and so that nobody obeys it.
///
/// The result has no line end in it, neither LF nor CR.
pub fn relayable(line: &str, colour: Colour) -> Cow<'_, str> {
    let clean = without_controls(line, colour);
    match neutral(&clean) {
        Cow::Borrowed(_) => clean,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

/// Returns `line` so that the runner of GitHub Actions sees no command in it; nothing else changes.
pub fn neutral(line: &str) -> Cow<'_, str> {
    let start = line.len() - line.trim_start().len();
    let leading = line[start..].starts_with("::");
    if !leading && !line.contains("##[") {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 8);
    out.push_str(&line[..start]);
    let rest = if leading {
        out.extend([':', APART]);
        &line[start + 1..]
    } else {
        &line[start..]
    };
    out.push_str(&rest.replace("##[", "#\u{2060}#["));
    Cow::Owned(out)
}

pub(super) fn without_controls(line: &str, colour: Colour) -> Cow<'_, str> {
    if !line.chars().any(|character| character.is_control() && character != '\t') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '\u{1b}' => escape_length(rest),
            _ => character.len_utf8(),
        };
        let piece = &rest[..length];
        let style = colour == Colour::Keep && is_style(piece);
        if style || !character.is_control() || character == '\t' {
            out.push_str(piece);
        }
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// Returns how many bytes the escape sequence at the beginning of `text` has: ECMA-48's CSI, OSC and its like, or two characters.
fn escape_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let length = match bytes.get(1) {
        Some(b'[') => bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)).map(|at| at + 3),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string_end(bytes),
        Some(byte) if byte.is_ascii() => Some(2),
        _ => Some(1),
    };
    // A sequence without an end swallows the line: a terminal would swallow it too.
    length.unwrap_or(bytes.len())
}

/// Returns where a control string ends: after BEL or ESC `\`.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let bell = bytes.iter().position(|byte| *byte == 0x07).map(|at| at + 1);
    let terminator = bytes.windows(2).skip(1).position(|pair| pair == b"\x1b\\").map(|at| at + 3);
    match (bell, terminator) {
        (Some(bell), Some(terminator)) => Some(bell.min(terminator)),
        (one, other) => one.or(other),
    }
}

fn is_style(piece: &str) -> bool {
    piece
        .strip_prefix("\u{1b}[")
        .and_then(|rest| rest.strip_suffix('m'))
        .is_some_and(|numbers| numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':'))
}
