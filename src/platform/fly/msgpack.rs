//! Just enough MessagePack to read what a token says of itself. Pure.
//!
//! Source: msgpack.org's specification. Text of a token may be anything: depth and size are bounded, and what is malformed is `None`.

/// How deep arrays and maps may be nested; a token's caveats need five levels.
const DEEPEST: usize = 16;

/// A value; numbers without a fraction and text are told apart, everything else is nothing that a caveat needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(i128),
    Text(String),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Other,
}

impl Value {
    /// Returns the members of an array.
    pub(super) fn array(&self) -> Option<&[Self]> {
        if let Self::Array(members) = self { Some(members) } else { None }
    }

    /// Returns a number that is in the range of `T`.
    pub(super) fn number<T: TryFrom<i128>>(&self) -> Option<T> {
        if let Self::Number(number) = self { T::try_from(*number).ok() } else { None }
    }
}

/// Reads one value; `None` where the bytes are not exactly one.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(0)?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads a big-endian number of `width` bytes.
    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn length(&mut self, width: usize) -> Option<usize> {
        usize::try_from(self.unsigned(width)?).ok()
    }

    fn signed(&mut self, width: usize) -> Option<Value> {
        let number = i128::from(self.unsigned(width)?);
        let half = 1_i128 << (8 * width - 1);
        Some(Value::Number(if number < half { number } else { number - 2 * half }))
    }

    fn text(&mut self, length: usize) -> Option<Value> {
        Some(Value::Text(String::from_utf8(self.take(length)?.to_vec()).ok()?))
    }

    fn array(&mut self, length: usize, depth: usize) -> Option<Value> {
        // Every member has a byte at least: a length that lies ends here and not in memory.
        if length > self.rest.len() {
            return None;
        }
        (0..length).map(|_| self.value(depth + 1)).collect::<Option<_>>().map(Value::Array)
    }

    fn map(&mut self, length: usize, depth: usize) -> Option<Value> {
        if length > self.rest.len() {
            return None;
        }
        (0..length).map(|_| Some((self.value(depth + 1)?, self.value(depth + 1)?))).collect::<Option<_>>().map(Value::Map)
    }

    fn skipped(&mut self, length: usize) -> Option<Value> {
        self.take(length).map(|_| Value::Other)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let first = *self.take(1)?.first()?;
        let low = |mask: u8| usize::from(first & mask);
        match first {
            0x00..=0x7f => Some(Value::Number(first.into())),
            0x80..=0x8f => self.map(low(0x0f), depth),
            0x90..=0x9f => self.array(low(0x0f), depth),
            0xa0..=0xbf => self.text(low(0x1f)),
            0xc0 | 0xc2 | 0xc3 => Some(Value::Other),
            0xc4..=0xc6 => {
                let length = self.length(1 << (first - 0xc4))?;
                self.skipped(length)
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (first - 0xc7))?;
                self.skipped(length.checked_add(1)?)
            }
            0xca => self.skipped(4),
            0xcb => self.skipped(8),
            0xcc..=0xcf => self.unsigned(1 << (first - 0xcc)).map(|number| Value::Number(number.into())),
            0xd0..=0xd3 => self.signed(1 << (first - 0xd0)),
            0xd4..=0xd8 => self.skipped((1 << (first - 0xd4)) + 1),
            0xd9..=0xdb => {
                let length = self.length(1 << (first - 0xd9))?;
                self.text(length)
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (first - 0xdc))?;
                self.array(length, depth)
            }
            0xde | 0xdf => {
                let length = self.length(2 << (first - 0xde))?;
                self.map(length, depth)
            }
            0xe0..=0xff => Some(Value::Number(i128::from(first.cast_signed()))),
            0xc1 => None,
        }
    }
}
