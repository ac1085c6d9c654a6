//! What must not be seen in `MONITOR` and the slow log: passwords among a command's arguments.

use crate::args::Args;
use crate::config::{ParamFlags, ParamId};
use crate::owned_args::ArgVec;

/// What stands in the place of a hidden argument.
const REDACTED: &[u8] = b"(redacted)";

/// The arguments of a command with its secrets replaced. `name` is the command's full name.
pub(crate) fn redacted<'a>(name: &str, args: Args<'a>) -> ArgVec<'a> {
    let mut shown: ArgVec<'a> = args.all().iter().copied().collect();
    let mut hide = |at: usize| {
        if let Some(arg) = shown.get_mut(at) {
            *arg = REDACTED;
        }
    };
    match name {
        "auth" => (1..args.len()).for_each(hide),
        "acl|setuser" => (2..args.len()).for_each(hide),
        "config|set" => {
            (3..args.len()).step_by(2).filter(|at| is_secret(args[at - 1])).for_each(hide);
        }
        "hello" => {
            let option = (2..args.len()).find(|at| args.is(*at, "auth"));
            option.into_iter().flat_map(|at| [at + 1, at + 2]).for_each(hide);
        }
        "migrate" => {
            for at in 6..args.len() {
                if args.is(at, "auth") {
                    hide(at + 1);
                } else if args.is(at, "auth2") {
                    hide(at + 1);
                    hide(at + 2);
                }
            }
        }
        _ => {}
    }
    shown
}

/// Whether the value of a parameter must not appear in logs.
fn is_secret(parameter: &[u8]) -> bool {
    ParamId::from_name(parameter).is_some_and(|id| id.flags().contains(ParamFlags::SENSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let shown = redacted(name, Args::new(&words)).join(&b' ');
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn hides_passwords_and_nothing_else() {
        assert_eq!(shown("auth", "AUTH user word"), "AUTH (redacted) (redacted)");
        assert_eq!(
            shown("hello", "HELLO 3 AUTH a b SETNAME c"),
            "HELLO 3 AUTH (redacted) (redacted) SETNAME c"
        );
        assert_eq!(
            shown("config|set", "config set requirepass x maxmemory 1"),
            "config set requirepass (redacted) maxmemory 1"
        );
        assert_eq!(shown("set", "SET auth word"), "SET auth word");
        assert_eq!(shown("hello", "HELLO 3 AUTH a"), "HELLO 3 AUTH (redacted)");
    }
}
