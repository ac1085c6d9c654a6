//! Rules, descriptions and decisions of users; the properties that hold for any of them.

use super::*;
use crate::args::Args;
use crate::cmd::GROUPS;
use crate::table::CommandTable;
use proptest::prelude::*;
use std::sync::LazyLock;

static COMMANDS: LazyLock<CommandTable> =
    LazyLock::new(|| CommandTable::new(GROUPS).expect("the table is consistent"));

fn context() -> RuleContext<'static> {
    RuleContext { commands: &COMMANDS, all_channels_at_first: false }
}

fn words(text: &str) -> Vec<&[u8]> {
    text.split(' ').map(str::as_bytes).collect()
}

fn user(rules: &str) -> User {
    let mut user = User::new(b"alice", &context());
    user.apply_all(&words(rules), &context()).expect("good rules");
    user
}

/// Description of a user that these rules make, without the flags every user starts with.
fn described(rules: &str) -> String {
    let text = String::from_utf8(user(rules).describe()).expect("text");
    text.strip_prefix("off sanitize-payload ").unwrap_or(&text).to_owned()
}

fn refused(rules: &str) -> RuleError {
    let mut user = User::new(b"alice", &context());
    match user.apply_all(&words(rules), &context()) {
        Err(WrongRule::Refused(_, error)) => error,
        other => panic!("{rules}: {other:?}"),
    }
}

fn check(user: &User, command: &str) -> Result<(), Denial> {
    let words = words(command);
    let args = Args::new(&words);
    let id = COMMANDS.find(args).expect("a command");
    user.check(&mut Request::new(&COMMANDS, id, args))
}

fn allows(rules: &str, command: &str) -> bool {
    check(&user(rules), command).is_ok()
}

#[test]
fn users_are_described_as_redis_does() {
    assert_eq!(described(""), "resetchannels -@all");
    assert_eq!(described("on nopass ~* &* +@all"), "on nopass sanitize-payload ~* &* +@all");
    assert_eq!(described("~a %R~b %W~c %RW~d"), "~a %R~b %W~c ~d resetchannels -@all");
    assert_eq!(described("%R~x %W~x"), "~x resetchannels -@all");
    assert_eq!(described("%RW~*"), "~* resetchannels -@all");
    assert_eq!(described("%RW~* ~x"), "%RW~* ~x resetchannels -@all");
    assert_eq!(user("%RW~* ~x").root().key_words().join(&b' '), b"~* ~x");
    assert_eq!(described("&a &b &a"), "resetchannels &a &b -@all");
    assert_eq!(described("+@all -@hash -@slow +hget"), "resetchannels +@all -@hash -@slow +hget");
    assert_eq!(described("+GET +config|GET +config"), "resetchannels -@all +get +config");
    assert_eq!(described("+@READ +get +@read"), "resetchannels -@all +get +@read");
    assert_eq!(described("+select|0 +SELECT|1"), "resetchannels -@all +select|0 +select|1");
    assert_eq!(
        described("(~a +get) (%W~b &c nocommands)"),
        "resetchannels -@all (~a resetchannels -@all +get) (%W~b resetchannels &c -@all)"
    );
    assert_eq!(described("(~a) clearselectors"), "resetchannels -@all");
    let hash = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589";
    assert_eq!(described(">abcd"), format!("#{hash} resetchannels -@all"));
    assert_eq!(described(">abcd >x <x"), described(">abcd"));
    assert_eq!(described(&format!("nopass #{hash} !{hash}")), "resetchannels -@all");
    assert_eq!(
        described("skip-sanitize-payload on nopass"),
        "on nopass skip-sanitize-payload resetchannels -@all"
    );
    assert_eq!(described("on >x ~* &* +@all (~a) reset"), "resetchannels -@all");
}

#[test]
fn wrong_rules_are_told_apart() {
    use RuleError::*;
    for (rules, error) in [
        ("what", Syntax),
        ("%x~a", Syntax),
        ("%RR~a", Syntax),
        ("%~a", Syntax),
        ("%", Syntax),
        ("~a\tb", Syntax),
        ("+config|", Syntax),
        ("((~a))", Syntax),
        ("(\"~a)", Syntax),
        ("+nothing", UnknownCommand),
        ("-select|0", UnknownCommand),
        ("+config|nothing", UnknownCommand),
        ("+@nothing", UnknownCommand),
        ("+select|0|1", UnknownCommand),
        ("+", UnknownCommand),
        ("+config|get|x", FirstArgOfSubcommand),
        ("~* ~a", PatternAfterAllKeys),
        ("allkeys %R~a", PatternAfterAllKeys),
        ("&* &a", PatternAfterAllChannels),
        ("<x", NoSuchPassword),
        ("#abc", PasswordHash),
        ("!ABC", PasswordHash),
        ("(~* ~a)", PatternAfterAllKeys),
    ] {
        assert_eq!(refused(rules), error, "{rules}");
    }
    let mut one = User::new(b"a", &context());
    let wrong = one.apply_all(&words("on (~a +get"), &context());
    assert_eq!(wrong, Err(WrongRule::Unmatched(b"(~a".to_vec())));
}

#[test]
fn commands_keys_and_channels_must_be_allowed_by_one_selector() {
    assert!(allows("+@all ~*", "set a b"));
    assert!(!allows("+@all", "set a b"));
    assert!(!allows("~*", "set a b"));
    assert!(allows("", "auth a"), "commands of those who are nobody yet");
    assert!(allows("+config|get", "config get a"));
    assert!(!allows("+config|get", "config set a b"));
    assert!(!allows("+config -config|set", "config set a b"));
    assert!(allows("+select|0", "select 0"));
    assert!(!allows("+select|0", "select 1"));
    assert!(!allows("+select|0 -@connection", "select 0"));
    assert!(allows("+@all %R~a*", "get abc"));
    assert!(!allows("+@all %R~a*", "set abc x"));
    assert!(!allows("+@all %W~a*", "set abc x get"));
    assert!(allows("+@all %W~a*", "set abc x"));
    assert!(!allows("+@all %R~a %W~b", "copy b a"));
    assert!(allows("+@all %R~a %W~b", "copy a b"));
    assert!(allows("+@all &a*", "publish abc x"));
    assert!(!allows("+@all &a*", "subscribe abc b"));
    assert!(!allows("+@all &a*", "psubscribe abc"), "patterns are compared literally");
    assert!(allows("+@all &a*", "psubscribe a*"));
    assert!(allows("+@all", "unsubscribe x"));
    assert!(allows("+get (+set ~a)", "set a b"));
    assert!(!allows("+get ~a (+set ~b)", "set a b"));
}

#[test]
fn the_argument_that_is_told_is_the_furthest() {
    let denied = |rules: &str, command: &str| {
        let denial = check(&user(rules), command).expect_err("denied");
        (denial.reason, denial.index)
    };
    assert_eq!(denied("+get", "set a b"), (Reason::Command, 0));
    assert_eq!(denied("+@all ~a", "mget a b c"), (Reason::Key, 2));
    assert_eq!(denied("+@all ~a (+@all ~a ~b)", "mget a b c"), (Reason::Key, 3));
    assert_eq!(denied("+@all (+get)", "publish x y"), (Reason::Channel, 1));
}

#[test]
fn passwords() {
    assert!(user("on >one >two").accepts(b"two"));
    assert!(!user("on >one").accepts(b"two"));
    assert!(!user("off >one").accepts(b"one"));
    assert!(user("on nopass").accepts(b"whatever"));
    assert!(!user("on").accepts(b""));
    assert!(!user("on nopass >one").accepts(b"two"));
}

#[test]
fn unreadable_words_are_protected() {
    for rules in ["~\"a", "(\"~a\\\"b\")", "(\"~a)b)\" +get)", "(~a')", "%R~* %W~* ~b"] {
        let mut one = User::new(b"a", &context());
        if one.apply_all(&words(rules), &context()).is_ok() {
            assert_eq!(again(&one), one, "{rules}");
        }
    }
    let mut odd = User::new(b"a'b", &context());
    odd.apply(b"~\"", &context()).expect("any pattern");
    assert_eq!(odd.config_line(), r#""a'b" off sanitize-payload "~\"" resetchannels -@all"#);
}

/// The user that the description of another makes.
fn again(described: &User) -> User {
    let mut user = User::new(described.name(), &context());
    let line = described.describe();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    user.apply_all(&words, &context()).expect("a description is good rules");
    user
}

/// Without a difference between `~*` and a lone pattern `*` for everything.
fn normal(mut user: User) -> User {
    for selector in std::iter::once(&mut user.root).chain(&mut user.selectors) {
        if let [only] = &selector.keys[..]
            && only.access == Access::all()
            && *only.pattern == *b"*"
        {
            selector.keys.clear();
            selector.all_keys = true;
        }
    }
    user
}

fn selector_rule() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<String> = COMMANDS.iter().map(|(_, c)| c.full_name.to_owned()).collect();
    let command = (any::<bool>(), prop::sample::select(names))
        .prop_map(|(allow, name)| format!("{}{name}", if allow { "+" } else { "-" }).into_bytes());
    let category = (any::<bool>(), prop::sample::select(Categories::NAMES.to_vec()));
    let category = category
        .prop_map(|(allow, name)| format!("{}@{name}", if allow { "+" } else { "-" }).into_bytes());
    let pattern = (
        prop::sample::select(vec!["~", "%R~", "%W~", "%rw~", "&", "+select|", "+get|"]),
        prop::collection::vec(prop::sample::select(b"ab*[]()\"'\\\xff~ \0".to_vec()), 0..5),
    );
    let pattern = pattern.prop_map(|(sign, rest)| [sign.as_bytes(), &rest].concat());
    let fixed = prop::sample::select(vec![
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "allcommands",
        "nocommands",
        "~*",
        "&*",
    ]);
    prop_oneof![3 => command, 3 => category, 5 => pattern, 2 => fixed.prop_map(|w| w.into())]
}

fn user_rule() -> impl Strategy<Value = Vec<u8>> {
    let quoted = |words: Vec<Vec<u8>>| {
        let words: Vec<String> = words.iter().map(|word| crate::config::quoted(word)).collect();
        format!("({})", words.join(" ")).into_bytes()
    };
    let selector = prop::collection::vec(selector_rule(), 0..5).prop_map(quoted);
    let fixed = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        "sanitize-payload",
        "skip-sanitize-payload",
        "reset",
        "clearselectors",
        ">one",
        ">two",
        "<one",
        "",
    ]);
    prop_oneof![6 => selector_rule(), 2 => selector, 2 => fixed.prop_map(|w| w.into())]
}

proptest! {
    #[test]
    fn a_description_makes_an_equal_user(rules in prop::collection::vec(user_rule(), 0..20)) {
        let mut user = User::new(b"alice", &context());
        for rule in &rules {
            let before = user.clone();
            if user.apply(rule, &context()).is_err() {
                prop_assert_eq!(&before, &user, "a refused rule changes nothing");
            }
        }
        prop_assert_eq!(normal(again(&user)), normal(user.clone()));
        let line = user.config_line();
        let words = perilune_resp::split_args(line.as_bytes()).expect("balanced quotes");
        let rules: Vec<&[u8]> = words[1..].iter().map(Vec::as_slice).collect();
        let mut read = User::new(&words[0], &context());
        prop_assert_eq!(read.apply_all(&rules, &context()), Ok(()));
        prop_assert_eq!(normal(read), normal(user));
    }

    #[test]
    fn no_rule_panics(rules in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6)) {
        let mut user = User::new(b"alice", &context());
        let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        let _ = user.apply_all(&rules, &context());
        prop_assert_eq!(normal(again(&user)), normal(user));
    }

    #[test]
    fn no_file_panics(text in prop::collection::vec(
        prop::sample::select(b"user alice default on +@all(~*)\n\r\t\"'>#!".to_vec()), 0..120,
    )) {
        let _ = file::parse(&text, "users.acl", &context());
    }
}
