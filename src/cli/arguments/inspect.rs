//! What `inspect` is given.

use std::path::PathBuf;

use clap::Args;

/// The arguments of `inspect`.
#[derive(Debug, Clone, Args)]
pub struct Inspect {
    /// The file, or the folder of a fly.toml. Names that end in .json or .yaml are read as such.
    #[arg(value_name = "FLY_TOML")]
    pub file: PathBuf,
    /// The image to run; by default the one that the file names.
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// Show only this process group.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// A JSON file {"machines": […], "volumes": […]} as the Machines API lists them: shows what each of these machines would be sent.
    #[arg(long, value_name = "FILE")]
    pub live: Option<PathBuf>,
}
