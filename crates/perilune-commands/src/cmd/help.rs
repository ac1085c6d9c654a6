//! The shape of every `HELP` subcommand.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::CommandError;
use perilune_resp::ReplyWriter;

/// The handler of all of them: answers the lines of its row.
pub(in crate::cmd) fn answer(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    write(args, out, ctx.engine.commands.get(ctx.command).spec.help);
    Ok(())
}

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
