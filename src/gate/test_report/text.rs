//! Bytes of a report as text, whatever wrote them.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::gate::line::Colour;
use crate::gate::line::without_controls;

/// How far into a file its declaration may stand.
const PROLOG_BYTES: usize = 200;

/// Returns the text of a file.
///
/// A byte order mark counts first, then what the bytes are: valid UTF-8 is UTF-8 whatever the file declares, since tools that copy a declaration are
/// commoner than those that encode by it. Anything else is read as declared, else as Windows-1252, which every byte is valid in.
pub(super) fn decode(bytes: &[u8]) -> String {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0.into_owned();
    }
    match bytes {
        [b'<', 0, ..] => return UTF_16LE.decode_without_bom_handling(bytes).0.into_owned(),
        [0, b'<', ..] => return UTF_16BE.decode_without_bom_handling(bytes).0.into_owned(),
        _ => {}
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    // A file that says that it is UTF-8 mostly is, but for a broken character.
    let encoding = declared(bytes).unwrap_or(WINDOWS_1252);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let prolog = String::from_utf8_lossy(&bytes[..bytes.len().min(PROLOG_BYTES)]).into_owned();
    let declaration = prolog.trim_start().strip_prefix("<?xml")?.split("?>").next()?.to_owned();
    let rest = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start().to_owned();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let label = rest[1..].split(quote).next()?;
    // Bytes that are here cannot be UTF-16, whatever they say.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != UTF_16LE && *encoding != UTF_16BE).or(Some(UTF_8))
}

/// Returns the text with its references resolved; one that nobody knows stays as it is written.
pub(super) fn resolved(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().take(12).find(|(_, character)| *character == ';').map(|(end, _)| end);
        match end.and_then(|end| Some((end, reference(&rest[1..end])?))) {
            Some((end, character)) => {
                out.push_str(&character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Returns what a reference without its `&` and `;` stands for: `None` where it is unknown, nothing where it is no character.
pub(super) fn reference(name: &str) -> Option<String> {
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            return Some(char::from_u32(code.ok()?).map(String::from).unwrap_or_default());
        }
    };
    Some(character.to_string())
}

/// Returns the lines of a text without colours, control characters and blank edges.
pub(super) fn clean(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| without_controls(line, Colour::Strip));
    let mut out = String::with_capacity(text.len());
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    // Windows' line ends made empty lines between all.
    let out = if text.contains("\r\n") { out.replace("\n\n", "\n") } else { out };
    out.trim_matches('\n').to_owned()
}
