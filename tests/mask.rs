//! Masking: bytes in are bytes out, but for secrets.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use cutover::mask::{Learned, Masker, Secret};
use proptest::prelude::*;

fn masker(secrets: &[&str]) -> Masker {
    let masker = Masker::new();
    for secret in secrets {
        assert_eq!(masker.learn(&Secret::new(*secret)), Learned::Masked);
    }
    masker
}

/// Masks `text` in pieces of the given lengths, repeated until it is used up.
fn in_pieces(masker: &Masker, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut stream = masker.stream();
    let mut out = Vec::new();
    let mut rest = text;
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
        stream.push(piece, &mut out);
        rest = after;
    }
    stream.finish(&mut out);
    out
}

#[test]
fn a_secret_is_masked_and_everything_else_is_left() {
    let masker = masker(&["hunter22"]);
    assert_eq!(masker.text("the word is hunter22, hunter2 is none"), "the word is ***, hunter2 is none");
    assert_eq!(&*masker.bytes(b"\xff\x00hunter22\xfe"), b"\xff\x00***\xfe");
}

#[test]
fn secrets_travel_in_other_forms() {
    let secret = "p4ss/wörd\"+ &<x>";
    let masker = masker(&[secret]);
    let forms = [
        STANDARD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        "p4ss%2Fw%C3%B6rd%22%2B%20%26%3Cx%3E".to_owned(),
        "p4ss%2fw%c3%b6rd%22%2b%20%26%3cx%3e".to_owned(),
        "p4ss/w\\u00f6rd\\\"+ &<x>".to_owned(),
        "p4ss/wörd&quot;+ &amp;&lt;x&gt;".to_owned(),
    ];
    for form in forms {
        assert_eq!(masker.text(&format!("<{form}>")), "<***>", "{form}");
    }
}

#[test]
fn a_secret_inside_the_base64_of_a_longer_text_is_masked() {
    let secret = "s3cr3t-t0ken";
    let masker = masker(&[secret]);
    for user in ["", "x", "xy", "AWS:", "user:"] {
        for after in ["", "!", "!!", "\nmore"] {
            let encoded = STANDARD.encode(format!("{user}{secret}{after}"));
            let masked = masker.text(&encoded).into_owned();
            assert!(masked.contains("***"), "{user:?} {after:?}: {encoded}");
            // At most one character on each side shares bits with the secret.
            let whole = STANDARD.encode(secret);
            assert!(!masked.contains(&whole[..8]), "{masked}");
            assert!(masked.len() + 12 <= encoded.len() + 3, "{encoded} became {masked}");
        }
    }
}

#[test]
fn the_lines_of_a_secret_are_secrets_but_not_its_punctuation() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n";
    let masker = masker(&[key, "{\n  \"private\": \"abcdef123\"\n}"]);
    assert_eq!(masker.text("line hkiG9w0BAQEFAASC here"), "line *** here");
    assert_eq!(masker.text("-----BEGIN PRIVATE KEY----- { }"), "-----BEGIN PRIVATE KEY----- { }");
    assert_eq!(masker.text("got \"private\": \"abcdef123\" back"), "got *** back");
    assert_eq!(masker.text(&format!("whole:\n{key}after")), "whole:\n***after");
}

#[test]
fn the_password_of_an_address_is_masked_by_itself() {
    let masker = masker(&["postgres://app:correct-horse@db.internal:5432/main"]);
    assert_eq!(masker.text("authentication failed for app/correct-horse"), "authentication failed for app/***");
}

#[test]
fn short_secrets_are_named_not_masked() {
    let masker = Masker::new();
    let secrets = [("SHORT", Secret::new("abc")), ("EMPTY", Secret::new("  ")), ("LONG", Secret::new("abcd"))];
    assert_eq!(masker.learn_all(secrets.iter().map(|(name, secret)| (*name, secret))), ["SHORT"]);
    assert_eq!(masker.text("abc abcd"), "abc ***");
    assert_eq!(masker.learn(&Secret::new("x")), Learned::TooShort);
    assert_eq!(masker.learn(&Secret::new("")), Learned::Empty);
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    let masker = masker(&["abcdef", "defghi", "efgh"]);
    assert_eq!(masker.text("-abcdefghi-"), "-***-");
    assert_eq!(masker.text("-abcdefabcdef-"), "-******-");
}

#[test]
fn a_secret_learned_later_is_masked_in_a_stream_already_open() {
    let masker = Masker::new();
    let mut stream = masker.stream();
    let mut out = Vec::new();
    stream.push(b"before late-token ", &mut out);
    assert_eq!(masker.learn(&Secret::new("late-token")), Learned::Masked);
    stream.push(b"after late-token", &mut out);
    stream.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "before late-token after ***");
}

#[test]
fn only_what_may_be_a_secret_is_held_back() {
    let masker = masker(&["hunter22"]);
    let mut stream = masker.stream();
    let mut out = Vec::new();
    stream.push(b"progress 10%\nhunt", &mut out);
    assert_eq!(out, b"progress 10%\n");
    stream.push(b"ing\n", &mut out);
    assert_eq!(out, b"progress 10%\nhunting\n");
}

#[test]
fn a_writer_masks_across_writes() {
    let mut written = Vec::new();
    {
        let mut writer = masker(&["hunter22"]).writer(&mut written);
        for byte in b"a hunter22 b hunter2" {
            writer.write_all(&[*byte]).unwrap();
        }
        writer.finish().unwrap();
    }
    assert_eq!(String::from_utf8(written).unwrap(), "a *** b hunter2");
}

#[test]
fn a_secret_does_not_show_itself() {
    assert_eq!(format!("{:?}", Secret::new("hunter22")), "Secret(***)");
    assert!(!format!("{:?}", masker(&["hunter22"])).contains("hunter22"));
}

proptest! {
    // A small alphabet, so that secrets overlap, repeat and begin inside each other.
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        secrets in prop::collection::vec("[ab\n=]{4,9}", 1..4),
        text in "[ab\n=]{0,80}",
        lengths in prop::collection::vec(1_usize..12, 1..6),
    ) {
        let masker = Masker::new();
        let known: Vec<_> = secrets.iter().filter(|secret| masker.learn(&Secret::new(secret.as_str())) == Learned::Masked).collect();
        let whole = in_pieces(&masker, text.as_bytes(), &[text.len().max(1)]);
        prop_assert_eq!(&in_pieces(&masker, text.as_bytes(), &lengths), &whole);
        prop_assert_eq!(&*masker.bytes(text.as_bytes()), whole.as_slice());
        let shown = String::from_utf8(whole).unwrap();
        for secret in known {
            prop_assert!(!shown.contains(secret.as_str()), "{:?} is in {:?}", secret, shown);
        }
    }

    #[test]
    fn bytes_without_secrets_are_left_alone(text in prop::collection::vec(any::<u8>(), 0..300), lengths in prop::collection::vec(1_usize..40, 1..5)) {
        let masker = masker(&["this-is-not-in-there-0123456789"]);
        prop_assert_eq!(in_pieces(&masker, &text, &lengths), text);
    }
}
