//! Parameters: what they read, refuse, and write back.

use std::io;

use proptest::prelude::*;

use super::table::PARAMS;
use super::*;

const LOCAL: SetContext = SetContext { local_client: true, loading: false };

fn get(config: &Config, name: &str) -> String {
    String::from_utf8(config.get_by_name(name.as_bytes()).expect("a parameter")).expect("UTF-8")
}

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let changed = config.set_many(pairs, LOCAL).map_err(|refused| refused.to_string())?;
    Ok(changed.into_iter().map(ParamId::name).collect())
}

fn protected(allowed: ProtectedAction) -> Config {
    Config { enable_protected_configs: allowed, ..Config::default() }
}

fn no_include(_: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    Err(io::ErrorKind::NotFound.into())
}

fn parse(text: &str) -> Result<Config, String> {
    parse_config(text.as_bytes(), "/x.conf", &mut no_include).map_err(|wrong| wrong.to_string())
}

fn reason(text: &str) -> String {
    parse(text).expect_err("refused").lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_table_is_consistent() {
    let mut names = std::collections::HashSet::new();
    let default = Config::default();
    for (index, param) in PARAMS.iter().enumerate() {
        assert_eq!(param.id as usize, index);
        for name in [Some(param.name), param.alias].into_iter().flatten() {
            assert!(names.insert(name), "{name} twice");
            assert_eq!(name, name.to_ascii_lowercase());
            assert_eq!(ParamId::from_name(name.to_uppercase().as_bytes()), Some(param.id));
        }
        if let Some(only) = &param.only {
            let value = get(&default, param.name);
            assert!(only.allows(param.id, value.as_bytes()), "default of {}", param.name);
        }
    }
}

#[test]
fn every_default_can_be_set_again() {
    for param in PARAMS.iter().filter(|param| !param.flags.contains(ParamFlags::IMMUTABLE)) {
        let mut config = protected(ProtectedAction::Yes);
        let value = get(&config, param.name);
        let changed = set(&mut config, &[(param.name, &value)]);
        assert_eq!(changed, Ok(vec![]), "{}", param.name);
    }
}

#[test]
fn known_defaults() {
    let config = Config::default();
    for (name, value) in [
        ("save", "3600 1 300 100 60 10000"),
        ("bind", "* -::*"),
        ("port", "6379"),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        ("lua-time-limit", "5000"),
        ("list-max-ziplist-size", "-2"),
        ("oom-score-adj-values", "0 200 800"),
        ("latency-tracking-info-percentiles", "50 99 99.9"),
        ("shutdown-on-sigterm", "default"),
        ("maxmemory-policy", "noeviction"),
        ("unixsocketperm", "0"),
        ("replicaof", ""),
        ("maxmemory-clients", "0"),
    ] {
        assert_eq!(get(&config, name), value, "{name}");
    }
}

#[test]
fn get_matches_names_and_aliases() {
    let config = Config::default();
    let found = config.matching_any(&["maxmemory", "maxmemory*", "*of", "maxmemory"]);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"slaveof") && names.contains(&"replicaof"));
    assert!(names.contains(&"maxmemory-samples"));
    assert_eq!(names.iter().filter(|name| **name == "maxmemory").count(), 1);
    assert_eq!(config.matching(b"MaxMemory"), [("MaxMemory".to_owned(), b"0".to_vec())]);
    assert_eq!(config.matching(b"SAV[A-Z]").len(), 1);
    assert!(config.matching(b"nothing").is_empty());
}

#[test]
fn hidden_parameters_need_their_exact_name() {
    let config = Config::default();
    assert!(config.matching(b"*").iter().all(|(name, _)| name != "key-load-delay"));
    assert_eq!(config.matching(b"key-load-delay").len(), 1);
    assert!(config.matching(b"*").len() > 190);
}

#[test]
fn set_reports_what_changed() {
    let mut config = Config::default();
    let changed = set(&mut config, &[("hz", "20"), ("TIMEOUT", "0"), ("maxmemory", "10mb")]);
    assert_eq!(changed, Ok(vec!["hz", "maxmemory"]));
    assert_eq!((config.hz, config.maxmemory), (20, 10 << 20));
}

#[test]
fn set_is_all_or_nothing() {
    let mut config = Config::default();
    let before = config.clone();
    let refused = set(
        &mut config,
        &[
            ("maxmemory", "10000001"),
            ("maxmemory-clients", "200%"),
            ("client-query-buffer-limit", "invalid"),
        ],
    );
    assert_eq!(
        refused,
        Err("ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - \
             percentage argument must be less or equal to 100"
            .to_owned())
    );
    assert_eq!(config, before);
}

#[test]
fn errors_of_set() {
    let prefix = "ERR CONFIG SET failed (possibly related to argument";
    for (pairs, text) in [
        (
            &[("foo", "1"), ("hz", "2")][..],
            "ERR Unknown option or number of arguments for CONFIG SET - 'foo'".to_owned(),
        ),
        (&[("daemonize", "yes")], format!("{prefix} 'daemonize') - can't set immutable config")),
        (
            &[("maxmemory", "1"), ("MaxMemory", "2")],
            format!("{prefix} 'MaxMemory') - duplicate parameter"),
        ),
        (&[("dir", "/")], format!("{prefix} 'dir') - can't set protected config")),
        (&[("Hz", "x")], format!("{prefix} 'hz') - argument couldn't be parsed into an integer")),
        (
            &[("port", "65536")],
            format!("{prefix} 'port') - argument must be between 0 and 65535 inclusive"),
        ),
        (
            &[("protected-mode", "1")],
            format!("{prefix} 'protected-mode') - argument must be 'yes' or 'no'"),
        ),
        (
            &[("maxmemory", "1x")],
            format!("{prefix} 'maxmemory') - argument must be a memory value"),
        ),
        (
            &[("maxmemory-clients", "x")],
            format!("{prefix} 'maxmemory-clients') - argument must be a memory or percent value"),
        ),
        (
            &[("loglevel", "loud")],
            format!(
                "{prefix} 'loglevel') - argument(s) must be one of the following: \
                 debug, verbose, notice, warning, nothing"
            ),
        ),
        (
            &[("activedefrag", "yes")],
            format!(
                "{prefix} 'activedefrag') - active defragmentation is not supported by this build"
            ),
        ),
        (
            &[("tls-ciphers", "DEFAULT")],
            format!("{prefix} 'tls-ciphers') - TLS is not supported by this build"),
        ),
        (
            &[("cluster-node-timeout", "1")],
            format!(
                "{prefix} 'cluster-node-timeout') - cluster mode is not supported by this build"
            ),
        ),
        (
            &[("slave-priority", "-1")],
            format!(
                "{prefix} 'slave-priority') - argument must be between 0 and 2147483647 inclusive"
            ),
        ),
        (&[("dbfilename", "a")], format!("{prefix} 'dbfilename') - can't set protected config")),
        (&[("save", "60")], format!("{prefix} 'save') - Invalid save parameters")),
        (&[("save", "60  1")], format!("{prefix} 'save') - Invalid save parameters")),
        (&[("save", "0 1")], format!("{prefix} 'save') - Invalid save parameters")),
        (
            &[("notify-keyspace-events", "Q")],
            format!(
                "{prefix} 'notify-keyspace-events') - \
                 Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
            ),
        ),
    ] {
        assert_eq!(set(&mut Config::default(), pairs), Err(text), "{pairs:?}");
    }
}

#[test]
fn a_parameter_and_its_alias_are_the_same_value() {
    let mut config = Config::default();
    let both = [("hash-max-listpack-entries", "20"), ("hash-max-ziplist-entries", "21")];
    assert_eq!(set(&mut config, &both), Ok(vec!["hash-max-listpack-entries"]));
    assert_eq!(config.hash_max_listpack_entries, 21);
    assert_eq!(get(&config, "hash-max-ziplist-entries"), "21");
}

#[test]
fn protected_parameters_follow_the_policy_and_the_client() {
    let mut config = protected(ProtectedAction::Local);
    assert!(config.set_many(&[("dbfilename", "x.rdb")], LOCAL).is_ok());
    let remote = SetContext { local_client: false, loading: false };
    assert!(config.set_many(&[("dbfilename", "y.rdb")], remote).is_err());
    assert_eq!(
        set(&mut config, &[("dbfilename", "a/b")]).expect_err("a path").split(" - ").last(),
        Some("dbfilename can't be a path, just a filename")
    );
    assert_eq!(config.dbfilename, "x.rdb");
}

#[test]
fn some_parameters_wait_for_loading_to_end() {
    let mut config = protected(ProtectedAction::Yes);
    let loading = SetContext { local_client: true, loading: true };
    assert!(config.set_many(&[("loglevel", "debug")], loading).is_ok());
    assert_eq!(config.set_many(&[("dir", "/")], loading), Err(ConfigError::Loading));
}

#[test]
fn numbers_in_their_formats() {
    let mut config = Config::default();
    for (name, value, printed) in [
        ("maxmemory", "1kb", "1024"),
        ("maxmemory", "1K", "1000"),
        ("maxmemory", "1gb", "1073741824"),
        ("maxmemory", "5b", "5"),
        ("maxmemory", "18446744073709551615", "18446744073709551615"),
        ("client-query-buffer-limit", "2mb", "2097152"),
        ("list-max-listpack-size", "-5", "-5"),
        ("slowlog-log-slower-than", "-1", "-1"),
        ("hz", "0", "1"),
        ("hz", "100000", "500"),
        ("repl-backlog-size", "1", "16384"),
    ] {
        set(&mut config, &[(name, value)]).expect("valid");
        assert_eq!(get(&config, name), printed, "{name} {value}");
    }
    for value in ["010", "+1", " 1", "1 ", "", "1e3", "99999999999999999999"] {
        assert!(set(&mut config, &[("timeout", value)]).is_err(), "{value:?}");
    }
    assert_eq!(parse("unixsocketperm 0770").map(|config| config.unixsocketperm), Ok(0o770));
    assert_eq!(reason("unixsocketperm 1000"), "argument must be between 0 and 777 inclusive");
    assert_eq!(reason("unixsocketperm 8"), "argument couldn't be parsed as an octal number");
}

#[test]
fn parameters_with_a_syntax_of_their_own() {
    let mut config = Config::default();
    for (name, value, printed) in [
        ("save", "", ""),
        ("save", "10 20 30 0", "10 20 30 0"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "Kx$mn", "$xnKm"),
        ("notify-keyspace-events", "An", "A"),
        ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
        ("bind", "", ""),
        ("oom-score-adj-values", "1 2 3", "1 2 3"),
        ("latency-tracking-info-percentiles", "0.5 99.125", "0.5 99.125"),
        ("latency-tracking-info-percentiles", "", ""),
        ("shutdown-on-sigint", "force NOSAVE now", "nosave now force"),
        ("shutdown-on-sigint", "default", "default"),
        (
            "client-output-buffer-limit",
            "normal 1kb 2 3 replica 1 2 3",
            "normal 1024 2 3 slave 1 2 3 pubsub 33554432 8388608 60",
        ),
        ("requirepass", "s3cret", "s3cret"),
    ] {
        set(&mut config, &[(name, value)]).expect("valid");
        assert_eq!(get(&config, name), printed, "{name} {value}");
    }
    for (name, value) in [
        ("client-output-buffer-limit", "normal 1 2"),
        ("client-output-buffer-limit", "master 1 2 3"),
        ("client-output-buffer-limit", "normal 1 2 -3"),
        ("oom-score-adj-values", "1 2 3000"),
        ("latency-tracking-info-percentiles", "101"),
        ("latency-tracking-info-percentiles", "nan"),
        ("shutdown-on-sigint", "save nosave"),
        ("shutdown-on-sigint", ""),
        ("proc-title-template", "{unknown}"),
        ("proc-title-template", ""),
        ("bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"),
    ] {
        assert!(set(&mut config, &[(name, value)]).is_err(), "{name} {value:?}");
    }
    let binary = [("requirepass", &b"\xff\x00"[..])];
    assert!(config.set_many(&binary, LOCAL).is_ok(), "passwords may be any bytes");
    assert!(config.set_many(&[("logfile", &b"\xff"[..])], LOCAL).is_err());
}

const SAMPLE: &str = r#"
# A sample in the style of a shipped file.

bind 127.0.0.1 -::1
protected-mode no
port 7001
  timeout 30
loglevel verbose
logfile ""
save 900 1
save 300 10 60 100
requirepass "with \x41 \"quote\""
maxmemory 100mb
HASH-MAX-ZIPLIST-ENTRIES 64
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 1mb 64kb 10
rename-command FLUSHALL ""
rename-command CONFIG 'hidden config'
user alice on nopass ~* +@all
enable-debug-command local
enable-protected-configs yes
notify-keyspace-events KEA
propagation-error-behavior panic-on-replicas
shutdown-on-sigterm nosave force
shutdown-on-sigint "now force"
lua-replicate-commands yes
list-max-ziplist-entries 512
repl-diskless-sync-delay 0
appendonly no
appendfsync everysec
rdb-key-save-delay 10
always-show-logo yes
hz 1000
"#;

#[test]
fn a_whole_file() {
    let config = parse(SAMPLE).expect("valid");
    assert_eq!(config.bind.0, ["127.0.0.1", "-::1"]);
    assert_eq!((config.port, config.timeout, config.hz), (7001, 30, 500));
    assert_eq!(get(&config, "save"), "900 1 300 10 60 100");
    assert_eq!(config.requirepass, b"with A \"quote\"");
    assert_eq!(config.hash_max_listpack_entries, 64);
    assert_eq!(config.client_output_buffer_limit.replica.soft_bytes, 64 << 10);
    assert_eq!(
        config.renamed_commands,
        [("FLUSHALL".into(), String::new()), ("CONFIG".into(), "hidden config".into())]
    );
    assert_eq!(config.users[0][..2], [b"alice".to_vec(), b"on".to_vec()]);
    assert_eq!(config.enable_debug_command, ProtectedAction::Local);
    assert_eq!(config.notify_keyspace_events.letters(), "AKE");
    assert_eq!(config.shutdown_on_sigterm, ShutdownFlags::NOSAVE | ShutdownFlags::FORCE);
    assert_eq!(config.shutdown_on_sigint, ShutdownFlags::NOW | ShutdownFlags::FORCE);
}

#[test]
fn save_lines_replace_the_defaults_and_then_add_up() {
    let save = |text: &str| get(&parse(text).expect("valid"), "save");
    assert_eq!(save(""), "3600 1 300 100 60 10000");
    assert_eq!(save("save 1 2"), "1 2");
    assert_eq!(save("save 1 2\nsave 3 4"), "1 2 3 4");
    assert_eq!(save("save 1 2\nsave ''"), "");
    assert_eq!(save("save ''\nsave 5 6"), "5 6");
    assert_eq!(save("save \"1 2 3 4\""), "1 2 3 4");
}

#[test]
fn a_wrong_line_is_shown_with_its_number() {
    assert_eq!(
        parse("port 1\n\n  foo bar  \nport 2").expect_err("no such directive"),
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Perilune {}) ***\n\
             Reading the configuration file, at line 3 of /x.conf\n\
             >>> 'foo bar'\n\
             Bad directive or wrong number of arguments",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn reasons_for_refusing_a_line() {
    for (line, expected) in [
        ("port", "wrong number of arguments"),
        ("port 1 2", "wrong number of arguments"),
        ("port 'x", "Unbalanced quotes in configuration line"),
        (
            "loglevel --bla",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        (
            "shutdown-on-sigint",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        ("replicaof 127.0.0.1 abc", "Invalid master port"),
        ("replicaof --127.0.0.1", "wrong number of arguments"),
        ("cluster-enabled yes", "cluster mode is not supported by this build"),
        ("loadmodule x.so", "modules are not supported by this build"),
        ("some.module-option 1", "modules are not supported by this build"),
        ("sentinel monitor x", "sentinel directive while not in sentinel mode"),
        ("rename-command x", "Bad directive or wrong number of arguments"),
        ("include a b", "Bad directive or wrong number of arguments"),
        ("list-max-ziplist-entries", "Bad directive or wrong number of arguments"),
    ] {
        assert_eq!(reason(line), expected, "{line}");
    }
    assert!(parse("replicaof no one").is_ok());
}

#[test]
fn includes_are_read_in_place() {
    let mut include = |path: &str| match path {
        "a" => Ok(vec![("a1".into(), b"port 2".to_vec()), ("a2".into(), b"hz 3\n".to_vec())]),
        "loop" => Ok(vec![("loop".into(), b"include loop".to_vec())]),
        "broken" => Ok(vec![("broken".into(), b"hz 1\nhz".to_vec())]),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let config = parse_config(b"port 1\ninclude a\nhz 4", "x", &mut include).expect("valid");
    assert_eq!((config.port, config.hz), (2, 4));
    let mut failure =
        |text: &[u8]| parse_config(text, "x", &mut include).expect_err("refused").to_string();
    assert!(failure(b"include loop").ends_with("nested too deeply"));
    assert!(failure(b"include broken").contains("at line 2 of broken\n>>> 'hz'"));
    assert!(failure(b"\ninclude gone").contains("at line 2 of x"));
}

#[test]
fn rewriting_keeps_comments_and_order() {
    let old = "# top\n\n\n\nport 7000\nhz 10\nsave 1 2\nsave 3 4\n# end\nhash-max-ziplist-value 10\nfoo bar\nuser bob on\n";
    let mut config = parse(&old.replace("foo bar\n", "")).expect("valid");
    set(&mut config, &[("port", "7001"), ("save", "5 6"), ("maxmemory", "3mb")]).expect("valid");
    assert_eq!(
        config.rewrite(old, &["bob on".into()]),
        "# top\n\nport 7001\nhz 10\nsave 5 6\n\n# end\nhash-max-listpack-value 10\n# ??? foo bar\n\
         user bob on\n\n# Generated by CONFIG REWRITE\nmaxmemory 3mb\n\
         latency-tracking-info-percentiles 50 99 99.9\n"
    );
}

/// Rewrites a file with the users that the configuration declares.
fn rewrite(config: &Config, old: &str) -> String {
    let line =
        |words: &Vec<Vec<u8>>| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    config.rewrite(old, &config.users.iter().map(line).collect::<Vec<_>>())
}

#[test]
fn rewriting_declares_the_present_users_and_no_others() {
    let old = "user alice on\nport 1\nuser bob on\n";
    let config = parse(old).expect("valid");
    let users = ["carol on".to_owned(), "dave off".into(), "eve on".into()];
    let rewritten = config.rewrite(old, &users);
    assert!(rewritten.starts_with("user carol on\nport 1\nuser dave off\n"));
    assert!(rewritten.contains("# Generated by CONFIG REWRITE\n"));
    assert!(rewritten.contains("\nuser eve on\n"));
    assert!(!config.rewrite(old, &[]).contains("user"));
}

#[test]
fn rewriting_again_changes_nothing() {
    let config = parse(SAMPLE).expect("valid");
    // The first pass over an appended block sets it off with an empty line at the end.
    let twice = rewrite(&config, &rewrite(&config, SAMPLE));
    assert_eq!(rewrite(&config, &twice), twice);
    assert_eq!(twice.matches("# Generated by CONFIG REWRITE").count(), 1);
}

#[test]
fn a_rewritten_file_gives_the_same_configuration() {
    let mut config = parse(SAMPLE).expect("valid");
    set(&mut config, &[("save", ""), ("bind", ""), ("notify-keyspace-events", "")]).expect("valid");
    assert_eq!(parse(&rewrite(&config, SAMPLE)), Ok(config));
}

#[test]
fn forced_rewriting_writes_every_parameter_in_a_readable_form() {
    let mut config = Config::default();
    set(&mut config, &[("requirepass", "a \"b\"\t'c"), ("bind", "::1")]).expect("valid");
    let text = config.rewrite_all("", &[]);
    assert!(text.contains("\nhz 10\n"));
    assert_eq!(parse(&text), Ok(config));
}

proptest! {
    #[test]
    fn quoting_is_undone_by_splitting(bytes: Vec<u8>) {
        let words = perilune_resp::split_args(quoted(&bytes).as_bytes());
        prop_assert_eq!(words, Some(vec![bytes]));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text: Vec<u8>) {
        let _ = parse_config(&text, "x", &mut no_include);
    }

    #[test]
    fn no_value_makes_a_parameter_panic_or_unreadable(index in 0..PARAMS.len(), value in "[-0-9a-z%. ]{0,12}") {
        let mut config = protected(ProtectedAction::Yes);
        let name = PARAMS[index].name;
        if config.set_many(&[(name, &value)], LOCAL).is_ok() {
            let printed = get(&config, name);
            let again = config.clone().set_many(&[(name, &printed)], LOCAL);
            prop_assert_eq!(again, Ok(vec![]), "{} {:?}", name, printed);
        }
    }

    #[test]
    fn memory_sizes_round_trip(bytes: u64) {
        prop_assert_eq!(number::memory_bytes(number::memory_text(bytes).as_bytes()), Some(bytes));
    }
}

#[test]
fn a_folder_is_named_as_seen_from_the_present_one() {
    let mut config = Config {
        dir: "/var/lib".to_owned(),
        enable_protected_configs: ProtectedAction::Yes,
        ..Config::default()
    };
    for (word, expected) in [
        ("redis", "/var/lib/redis"),
        ("./x/../y", "/var/lib/redis/y"),
        ("../../..", "/var"),
        ("/tmp", "/tmp"),
    ] {
        set(&mut config, &[("dir", word)]).expect("a folder");
        assert_eq!(config.dir, expected);
    }
}

#[test]
fn several_threads_that_do_not_read_are_refused() {
    assert!(parse("io-threads 1\nio-threads-do-reads no").is_ok(), "there is nobody else to read");
    assert!(parse("io-threads 4\nio-threads-do-reads yes").is_ok());
    let error = parse("io-threads 4\nio-threads-do-reads no").expect_err("nobody can have that");
    assert!(error.contains("io-threads-do-reads"), "{error}");
}
