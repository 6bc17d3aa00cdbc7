//! A credential or a secret's value.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A value that cannot be printed; its memory is wiped when it is dropped.
///
/// `Debug` shows that there is one, never what it is; there is no `Display` and no serialization.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns a secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// Returns the value; the one way to it, so that a search for this word finds every use.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns whether there is nothing but white space in it: set, but empty.
    pub fn is_blank(&self) -> bool {
        self.expose().trim().is_empty()
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
