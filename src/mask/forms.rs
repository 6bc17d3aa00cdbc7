//! The forms in which one secret can show itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::MIN_SECRET_BYTES;

/// The shortest password inside an address that is masked by itself: shorter ones are words such as `postgres` in test set-ups.
const MIN_PASSWORD_BYTES: usize = 9;

/// Returns every form of `secret` that is looked for: the value, its non-trivial lines, base64 at each of the three alignments in both
/// alphabets, percent-encoded, JSON-escaped and HTML-escaped forms, and the password of an address.
pub(super) fn of(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let trimmed = secret.trim();
    for whole in [secret, trimmed] {
        add_escaped(&mut forms, whole);
        add_base64(&mut forms, whole.as_bytes());
    }
    if trimmed.contains('\n') {
        for line in trimmed.lines().map(str::trim).filter(|line| tells_something(line)) {
            add_escaped(&mut forms, line);
        }
    }
    if let Some(password) = password_of(trimmed) {
        add_escaped(&mut forms, &password);
        add_base64(&mut forms, password.as_bytes());
    }
    forms.retain(|form| form.len() >= MIN_SECRET_BYTES);
    forms
}

/// Returns whether a line of a secret is a secret itself: a brace, a PEM boundary or a word is not.
fn tells_something(line: &str) -> bool {
    let letters = line.bytes().filter(u8::is_ascii_alphanumeric).count();
    line.len() >= 6 && letters >= 4 && !(line.starts_with("-----") && line.ends_with("-----"))
}

fn add_escaped(forms: &mut BTreeSet<Vec<u8>>, text: &str) {
    let upper = percent(text, "-._~", false);
    forms.extend(
        [
            text.to_owned(),
            json(text, false),
            json(text, true),
            json(text, false).replace('/', "\\/"),
            html(text),
            // What JavaScript's encodeURIComponent leaves, what a form does to a space, and encoders that write small hex digits.
            percent(text, "-._~!'()*", false),
            upper.replace("%20", "+"),
            percent(text, "-._~", true),
            upper,
        ]
        .into_iter()
        .map(String::into_bytes),
    );
}

/// Adds base64 of `secret` as it shows inside the base64 of a longer text, whatever stands before and after it.
///
/// Three bytes become four characters, so there are three alignments. A character that mixes bits of the secret with bits of a neighbour is
/// unknown and left out, except at the very end, where the encoder fills up with zeros. `user:secret` is the common case.
fn add_base64(forms: &mut BTreeSet<Vec<u8>>, secret: &[u8]) {
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        // Characters that hold bits of what stands before: none, two of one byte, three of two bytes.
        let unknown = [0, 2, 3][before];
        let known = bytes.len() * 8 / 6;
        for engine in [&STANDARD, &URL_SAFE] {
            let padded = engine.encode(&bytes);
            let bare = padded.trim_end_matches('=');
            forms.extend([&padded[unknown..], &bare[unknown..], &bare[unknown..known]].map(|form| form.as_bytes().to_vec()));
        }
    }
}

fn percent(text: &str, keep: &str, small: bool) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = if small { write!(out, "%{byte:02x}") } else { write!(out, "%{byte:02X}") };
        }
    }
    out
}

/// Returns the inside of the JSON string; with `ascii`, everything else as `\uXXXX`.
fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inside = quoted[1..quoted.len() - 1].to_owned();
    if !ascii {
        return inside;
    }
    let mut out = String::with_capacity(inside.len());
    for character in inside.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Returns the password inside an address such as `postgres://user:password@host/db`; drivers show it on its own in their errors.
fn password_of(secret: &str) -> Option<String> {
    let url = url::Url::parse(secret).ok()?;
    let password = url.password()?;
    (password.len() >= MIN_PASSWORD_BYTES && password != url.username()).then(|| password.to_owned())
}
