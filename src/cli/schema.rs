//! `cutover schema`: the JSON Schema of the manifest, for editors.

use std::io::{self, Write};

use crate::manifest::schema;

/// Writes the schema. Fails only when `out` does.
pub fn schema(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(schema::text().as_bytes())
}
