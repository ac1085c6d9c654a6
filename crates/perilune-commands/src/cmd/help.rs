//! The shape of every `HELP` subcommand.

use crate::args::Args;
use perilune_resp::ReplyWriter;

/// Writes the help of a container command. `lines` alternate between a subcommand with its
/// arguments and indented explanations.
pub(crate) fn write(args: Args<'_>, out: &mut dyn ReplyWriter, lines: &[&str]) {
    let container = String::from_utf8_lossy(args.name()).to_ascii_uppercase();
    out.array(lines.len() + 3);
    out.status(
        format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:").as_bytes(),
    );
    lines.iter().for_each(|line| out.status(line.as_bytes()));
    out.status(b"HELP");
    out.status(b"    Print this help.");
}
