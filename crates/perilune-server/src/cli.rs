//! The command line: Redis' own syntax for serving, and subcommands of ours.
//!
//! `perilune [file] [--directive value ...] [-]` is read exactly as `redis-server` reads it: every
//! `--directive` starts a line of configuration text, what follows are its words. That syntax has no
//! fixed set of options, so only subcommands and the help text go through clap.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use perilune_commands::config::quoted;
use perilune_persist::aof::CheckOptions;
use perilune_resp::split_args;

use crate::config_file::ConfigSources;

/// The version of Redis whose behaviour is followed.
pub const REDIS_VERSION: &str = "7.2.4";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Run the server.
    Serve(ConfigSources),
    /// Run one script without a server and print its reply.
    Eval {
        /// The script's text, a file that holds it, or `-` for stdin; see [`script_text`].
        script: OsString,
        /// `KEYS`.
        keys: Vec<Vec<u8>>,
        /// `ARGV`.
        args: Vec<Vec<u8>>,
    },
    /// Be a debug adapter on stdin and stdout.
    Dap,
    /// Check a snapshot file.
    CheckRdb(PathBuf),
    /// Look for mistakes in scripts.
    Lint(Vec<PathBuf>),
    /// Run tests of scripts.
    Test {
        /// A folder of tests, or one file.
        path: PathBuf,
        /// Tell which lines were run.
        coverage: bool,
        /// Write the results there, as JUnit does.
        junit: Option<PathBuf>,
    },
    /// Check an append-only file.
    CheckAof {
        /// Its manifest, or a single file.
        path: PathBuf,
        /// What to do about what is wrong.
        options: CheckOptions,
    },
    /// Print this help text.
    Help(String),
    /// Print [`version`].
    Version,
}

/// A command line that makes no sense; `Display` is the message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for UsageError {}

#[derive(Parser)]
#[command(
    name = "perilune",
    about = "A Redis-compatible server built around scripting",
    override_usage = "perilune [FILE] [--DIRECTIVE VALUE...]... [-]\n       \
                      perilune eval SCRIPT [KEY... [, ARG...]]\n       \
                      perilune dap\n       \
                      perilune check-rdb FILE\n       \
                      perilune lint FILE...\n       \
                      perilune test DIR [--coverage] [--junit FILE]\n       \
                      perilune check-aof [--fix | --truncate-to-timestamp SECONDS] FILE\n       \
                      perilune --version | --help",
    after_help = "FILE is a redis.conf. Every --DIRECTIVE is a line of such a file and overrides it. \
                  A lone - reads more lines from stdin.\n\n\
                  Examples:\n  \
                  perilune\n  \
                  perilune /etc/redis/redis.conf --loglevel verbose\n  \
                  perilune --port 7000 --save 60 1 --save 300 10\n  \
                  echo 'maxmemory 128mb' | perilune -\n  \
                  perilune eval 'return KEYS[1] .. ARGV[1]' key , arg"
)]
struct Cli {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Check an append-only file, as redis-check-aof does
    CheckAof {
        /// Cut off what is not sound
        #[arg(long)]
        fix: bool,
        /// Cut off what happened after this Unix time in seconds
        #[arg(long, value_name = "SECONDS", conflicts_with = "fix")]
        truncate_to_timestamp: Option<i64>,
        /// The manifest, or a single file
        file: PathBuf,
    },
    /// Run one script without a server and print its reply
    Eval {
        /// The script's text, a file that holds it, or - for stdin
        script: OsString,
        /// Keys, then a comma standing alone, then arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "KEY... , ARG")]
        words: Vec<OsString>,
    },
    /// Debug scripts from an editor: a debug adapter on stdin and stdout
    Dap,
    /// Read a snapshot file and tell what is in it, or what is wrong with it
    CheckRdb {
        /// The file
        file: PathBuf,
    },
    /// Look for mistakes in scripts and libraries without running them
    Lint {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run the tests of scripts: all files of a folder that end with _test.lua
    Test {
        /// The folder, or one file
        #[arg(value_name = "DIR")]
        path: PathBuf,
        /// Tell which lines of the scripts were run
        #[arg(long)]
        coverage: bool,
        /// Write the results to a file, as JUnit does
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}

/// The words behind the program's name; a program called `redis-check-rdb` or `redis-check-aof` is
/// its subcommand.
pub fn arguments(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let program = words.next().map(PathBuf::from).unwrap_or_default();
    let name = program.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let implied = ["check-rdb", "check-aof"].into_iter().find(|it| name.ends_with(it.as_bytes()));
    implied.map(OsString::from).into_iter().chain(words).collect()
}

/// Reads a command line; `args` are the words behind the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let args: Vec<OsString> = args.into_iter().collect();
    match args.first().map(|first| first.as_bytes()) {
        Some(b"-v" | b"--version") => Ok(Command::Version),
        Some(b"-h" | b"--help") => Ok(Command::Help(Cli::command().render_help().to_string())),
        Some(b"eval" | b"check-aof" | b"check-rdb" | b"dap" | b"lint" | b"test") => {
            parse_subcommand(args)
        }
        _ => Ok(Command::Serve(parse_serve(&args))),
    }
}

fn parse_subcommand(args: Vec<OsString>) -> Result<Command, UsageError> {
    let whole = std::iter::once(OsString::from("perilune")).chain(args);
    let cli = match Cli::try_parse_from(whole) {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => return Ok(Command::Help(asked.to_string())),
        Err(wrong) => return Err(UsageError(wrong.to_string())),
    };
    let (script, words) = match cli.action {
        Some(Action::Eval { script, words }) => (script, words),
        Some(Action::Dap) => return Ok(Command::Dap),
        Some(Action::CheckRdb { file }) => return Ok(Command::CheckRdb(file)),
        Some(Action::Lint { files }) => return Ok(Command::Lint(files)),
        Some(Action::Test { path, coverage, junit }) => {
            return Ok(Command::Test { path, coverage, junit });
        }
        Some(Action::CheckAof { fix, truncate_to_timestamp, file }) => {
            let options = CheckOptions { fix, until_s: truncate_to_timestamp };
            return Ok(Command::CheckAof { path: file, options });
        }
        None => return Err(UsageError("error: a subcommand is missing".to_owned())),
    };
    let mut words = words.into_iter().map(OsString::into_vec);
    let keys = words.by_ref().take_while(|word| word != b",").collect();
    Ok(Command::Eval { script, keys, args: words.collect() })
}

fn parse_serve(args: &[OsString]) -> ConfigSources {
    let is_file = args.first().is_some_and(|first| !first.as_bytes().starts_with(b"-"));
    let words: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut text = OptionText::default();
    for (index, word) in words.iter().enumerate().skip(usize::from(is_file)) {
        text.word(word, index == 0, words.get(index + 1).copied());
    }
    let file = args.first().filter(|_| is_file).map(PathBuf::from);
    ConfigSources { file, stdin: text.stdin, options: text.lines }
}

/// Command line options on their way to configuration lines.
struct OptionText {
    lines: Vec<u8>,
    stdin: bool,
    /// The last directive has a value, so a word with dashes is the next directive, not a value.
    has_value: bool,
}

impl Default for OptionText {
    fn default() -> Self {
        Self { lines: Vec::new(), stdin: false, has_value: true }
    }
}

impl OptionText {
    fn word(&mut self, word: &[u8], is_first: bool, next: Option<&[u8]>) {
        if word == b"-" && (is_first || next.is_none()) {
            self.stdin = true;
        } else if self.has_value && word.starts_with(b"--") {
            self.directive(word, next);
        } else {
            self.lines.extend_from_slice(quoted(word).as_bytes());
            self.lines.push(b' ');
            self.has_value = true;
        }
    }

    fn directive(&mut self, word: &[u8], next: Option<&[u8]>) {
        if !self.lines.is_empty() {
            self.lines.push(b'\n');
        }
        self.lines.extend_from_slice(&word[2..]);
        self.lines.push(b' ');
        // A word such as `--port 7000` brings its value along.
        self.has_value = split_args(word).is_none_or(|words| words.len() != 1);
        if self.has_value {
            return;
        }
        let followed_by_directive = next.is_some_and(|next| next.starts_with(b"--"));
        if word.eq_ignore_ascii_case(b"--save") && (followed_by_directive || next.is_none()) {
            // Whoever builds a command line from an empty list means "no save points".
            self.lines.extend_from_slice(b"\"\"");
            self.has_value = followed_by_directive;
        }
    }
}

/// The text of a script given on the command line: stdin for `-`, the content of an existing file,
/// else the words themselves.
pub fn script_text(script: &OsStr, stdin: &mut dyn Read) -> io::Result<Vec<u8>> {
    if script == "-" {
        let mut text = Vec::new();
        stdin.read_to_end(&mut text)?;
        return Ok(text);
    }
    let path = PathBuf::from(script);
    if path.is_file() { std::fs::read(path) } else { Ok(script.as_bytes().to_vec()) }
}

/// The version line; tools look for ` v=`.
pub fn version() -> String {
    format!(
        "Perilune server v={} (redis {REDIS_VERSION}) malloc=jemalloc bits={}",
        env!("CARGO_PKG_VERSION"),
        usize::BITS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Command {
        parse(args.iter().map(OsString::from)).expect("a valid command line")
    }

    fn serve(args: &[&str]) -> ConfigSources {
        match parsed(args) {
            Command::Serve(sources) => sources,
            other => panic!("{other:?}"),
        }
    }

    fn options(args: &[&str]) -> String {
        String::from_utf8(serve(args).options).expect("UTF-8")
    }

    #[test]
    fn nothing_serves_with_defaults() {
        assert_eq!(serve(&[]), ConfigSources::default());
    }

    #[test]
    fn directives_become_lines() {
        assert_eq!(options(&["--port", "7000"]), "port \"7000\" ");
        assert_eq!(
            options(&["--port", "7000", "--save", "60", "1"]),
            "port \"7000\" \nsave \"60\" \"1\" "
        );
        assert_eq!(options(&["--port 7000", "--hz 20"]), "port 7000 \nhz 20 ");
    }

    #[test]
    fn one_value_may_start_with_dashes() {
        assert_eq!(options(&["--logfile", "--x", "--hz", "5"]), "logfile \"--x\" \nhz \"5\" ");
        assert_eq!(options(&["--port", "--hz", "5"]), "port \"--hz\" \"5\" ");
    }

    #[test]
    fn save_without_a_value_means_no_save_points() {
        assert_eq!(options(&["--save", "--hz", "5"]), "save \"\"\nhz \"5\" ");
        assert_eq!(options(&["--hz", "5", "--save"]), "hz \"5\" \nsave \"\"");
        assert_eq!(options(&["--save", "", "--hz", "5"]), "save \"\" \nhz \"5\" ");
    }

    #[test]
    fn a_first_word_without_dash_is_the_file() {
        let sources = serve(&["redis.conf", "--port", "1"]);
        assert_eq!(sources.file, Some(PathBuf::from("redis.conf")));
        assert_eq!(sources.options, b"port \"1\" ");
        let bare = serve(&["a.conf", "loglevel", "verbose", "--hz 5"]);
        assert_eq!(bare.options, b"\"loglevel\" \"verbose\" \nhz 5 ");
    }

    #[test]
    fn a_lone_dash_at_either_end_reads_stdin() {
        assert!(serve(&["-"]).stdin);
        assert!(serve(&["-", "--port", "1"]).stdin);
        assert!(serve(&["a.conf", "--port", "1", "-"]).stdin);
        let middle = serve(&["a.conf", "-", "--port", "1"]);
        assert!(!middle.stdin);
    }

    #[test]
    fn version_and_help() {
        assert_eq!(parsed(&["-v"]), Command::Version);
        assert_eq!(parsed(&["--version"]), Command::Version);
        assert!(version().contains(" v=0."));
        let Command::Help(text) = parsed(&["--help"]) else { panic!("no help") };
        assert!(text.contains("perilune eval SCRIPT"), "{text}");
    }

    #[test]
    fn eval_splits_keys_and_arguments_at_the_comma() {
        let expected = Command::Eval {
            script: "return 1".into(),
            keys: vec![b"k1".to_vec(), b"k2".to_vec()],
            args: vec![b"-1".to_vec(), b",".to_vec()],
        };
        assert_eq!(parsed(&["eval", "return 1", "k1", "k2", ",", "-1", ","]), expected);
        let Command::Eval { keys, args, .. } = parsed(&["eval", "return 1"]) else {
            panic!("no eval")
        };
        assert!(keys.is_empty() && args.is_empty());
    }

    #[test]
    fn a_file_to_check_is_named_behind_either_name() {
        let expected = Command::CheckRdb(PathBuf::from("dump.rdb"));
        assert_eq!(parsed(&["check-rdb", "dump.rdb"]), expected);
        let words = ["/usr/bin/redis-check-rdb", "dump.rdb"].map(OsString::from);
        assert_eq!(parse(arguments(words)).expect("a valid command line"), expected);
        assert!(parse(["check-rdb".into()]).is_err());
        assert_eq!(arguments(["perilune", "x"].map(OsString::from)), ["x"]);
    }

    #[test]
    fn lint_and_test_take_paths() {
        let files = vec![PathBuf::from("a.lua"), PathBuf::from("b.lua")];
        assert_eq!(parsed(&["lint", "a.lua", "b.lua"]), Command::Lint(files));
        assert!(parse(["lint".into()]).is_err());
        let (path, junit) = (PathBuf::from("dir"), Some(PathBuf::from("out.xml")));
        let expected = Command::Test { path, coverage: true, junit };
        assert_eq!(parsed(&["test", "dir", "--coverage", "--junit", "out.xml"]), expected);
    }

    #[test]
    fn eval_without_a_script_is_a_usage_error() {
        let wrong = parse(["eval".into()]).expect_err("a script is required");
        assert!(wrong.to_string().contains("SCRIPT"), "{wrong}");
        assert!(matches!(parsed(&["eval", "--help"]), Command::Help(_)));
    }

    #[test]
    fn the_debug_adapter_takes_no_words() {
        assert_eq!(parsed(&["dap"]), Command::Dap);
        assert!(matches!(parsed(&["dap", "--help"]), Command::Help(_)));
        assert!(parse(["dap", "--port"].map(OsString::from)).is_err());
    }

    #[test]
    fn script_text_comes_from_stdin_a_file_or_the_word_itself() {
        let text = script_text(OsStr::new("-"), &mut &b"return 2"[..]).expect("stdin");
        assert_eq!(text, b"return 2");
        let text = script_text(OsStr::new("return 3"), &mut io::empty()).expect("inline");
        assert_eq!(text, b"return 3");
        let path = std::env::temp_dir().join(format!("perilune-cli-{}.lua", std::process::id()));
        std::fs::write(&path, "return 4").expect("write");
        let text = script_text(path.as_os_str(), &mut io::empty()).expect("file");
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(text, b"return 4");
    }
}
