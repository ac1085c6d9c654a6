//! Rights in force: logins, checks at the top level and in transactions, connections that lose
//! their user, the ACL file.

use crate::config::Config;
use crate::session::ClientSlot;
use crate::test_support::TestEngine;

const NO_KEY: &str = "-NOPERM No permissions to access a key\r\n";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

/// An engine with a user alice, an administrator, and a client logged in as her.
fn with_alice(rules: &str) -> (TestEngine, ClientSlot, ClientSlot) {
    let mut test = TestEngine::new();
    let (admin, alice) = (test.client(), test.client());
    let made = test.run(admin, &format!("acl setuser alice on >secret {rules}"));
    assert_eq!(made, "+OK\r\n");
    assert_eq!(test.run(alice, "auth alice secret"), "+OK\r\n");
    (test, admin, alice)
}

fn closes(test: &mut TestEngine, client: ClientSlot) -> bool {
    let mut out = Vec::new();
    test.engine.visit(client, &mut out) == crate::Flow::Close
}

#[test]
fn commands_keys_and_channels_are_checked() {
    let (mut test, _, alice) = with_alice("~a* &c +@all -flushall");
    assert_eq!(test.run(alice, "set ab 1"), "+OK\r\n");
    assert_eq!(test.run(alice, "get b"), NO_KEY);
    assert_eq!(
        test.run(alice, "flushall"),
        "-NOPERM User alice has no permissions to run the 'flushall' command\r\n"
    );
    assert_eq!(test.run(alice, "subscribe x"), "-NOPERM No permissions to access a channel\r\n");
    assert_eq!(
        test.run(alice, "sort ab by w_*"),
        "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n"
    );
    assert_eq!(test.run(alice, "sort_ro a get #").get(..5), Some("-ERR "));
    let denied = test.engine.acl.denied;
    assert_eq!((denied.command, denied.key, denied.channel, denied.auth), (1, 1, 1, 0));
}

#[test]
fn who_stores_twice_needs_the_right_for_the_key_that_is_written() {
    let (mut test, admin, alice) = with_alice("%R~from ~mine +@all");
    test.run(admin, "geoadd from 13 38 m");
    test.run(admin, "set theirs v");
    let search = "georadius from 13 38 10 km";
    assert_eq!(test.run(alice, &format!("{search} store mine store theirs")), NO_KEY);
    assert_eq!(test.run(alice, &format!("{search} storedist theirs store mine")), NO_KEY);
    assert_eq!(test.run(alice, &format!("{search} store theirs store mine")), ":1\r\n");
}

#[test]
fn the_session_of_scripts_outlives_the_user_who_called_one() {
    let (mut test, admin, alice) = with_alice("~* +@all");
    let user = test.engine.acl.get(b"alice").cloned().expect("she exists");
    let script = test.engine.sessions.get_mut(ClientSlot::SCRIPT).expect("always there");
    script.set_user(user);
    assert_eq!(test.run(admin, "acl deluser alice"), ":1\r\n");
    test.engine.disconnect(alice);
    assert_eq!(test.engine.sessions.connected(), 1);
    let script = test.engine.sessions.get(ClientSlot::SCRIPT).expect("always there");
    assert!(!script.killed && script.user().name() == b"default");
}

#[test]
fn changed_rights_hold_at_once_for_queued_and_waiting_commands() {
    let (mut test, admin, alice) = with_alice("~* +@all");
    test.run(alice, "multi");
    assert_eq!(test.run(alice, "set a 1"), "+QUEUED\r\n");
    test.run(admin, "acl setuser alice -set");
    let reply = test.run(alice, "exec");
    assert!(reply.starts_with("*1\r\n-NOPERM ACLs rules changed between the moment"), "{reply}");
    assert!(reply.ends_with("no permission to execute the command or subcommand\r\n"), "{reply}");
    assert_eq!(test.run(admin, "get a"), "$-1\r\n");

    assert_eq!(test.run(alice, "blpop list 0"), "");
    test.run(admin, "acl setuser alice resetkeys");
    test.run(admin, "rpush list x");
    assert_eq!(test.late(alice), NO_KEY);
    assert_eq!(test.run(admin, "llen list"), ":1\r\n");
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    let (mut test, admin, alice) = with_alice("+@all");
    test.run(alice, "multi");
    assert_eq!(test.run(alice, "get a"), NO_KEY);
    assert!(test.run(alice, "exec").starts_with("-EXECABORT"));
    let log = test.run(admin, "acl log");
    assert!(log.contains("$5\r\nmulti\r\n") && log.contains("$1\r\na\r\n"), "{log}");
}

#[test]
fn refused_logins_are_counted_and_recorded_without_the_password() {
    let (mut test, admin, alice) = with_alice("");
    for line in ["auth alice hunter2", "auth nobody hunter2", "hello 3 auth alice hunter2"] {
        assert_eq!(test.run(alice, line), WRONGPASS);
    }
    test.run(admin, "acl setuser alice off");
    assert_eq!(test.run(admin, "auth alice secret"), WRONGPASS);
    assert_eq!(test.engine.acl.denied.auth, 4);
    let log = test.run(admin, "acl log 100");
    assert!(log.starts_with("*3\r\n") && !log.contains("hunter2") && !log.contains("secret"));
    assert_eq!(test.run(admin, "acl log reset"), "+OK\r\n");
    assert_eq!(test.run(admin, "acl log"), "*0\r\n");
    assert!(test.run(admin, "auth x").contains("without any password configured"));
}

#[test]
fn the_default_user_decides_whether_a_login_is_needed() {
    let mut test = TestEngine::new();
    let admin = test.client();
    test.run(admin, "config set requirepass word");
    let newcomer = test.client();
    assert_eq!(test.run(newcomer, "ping"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(test.run(newcomer, "auth default word"), "+OK\r\n");
    assert_eq!(test.run(newcomer, "ping"), "+PONG\r\n");
    assert_eq!(test.run(newcomer, "reset"), "+RESET\r\n");
    assert_eq!(test.run(newcomer, "ping"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(test.run(admin, "ping"), "+PONG\r\n", "who was in stays in");
    test.run(admin, "acl setuser default nopass");
    assert_eq!(test.run(newcomer, "ping"), "+PONG\r\n");
    test.run(admin, "acl setuser default off");
    assert_eq!(test.run(newcomer, "ping"), "-NOAUTH Authentication required.\r\n");
}

#[test]
fn connections_of_a_removed_user_are_closed() {
    let (mut test, admin, alice) = with_alice("+@all");
    assert_eq!(test.run(admin, "acl deluser alice nobody"), ":1\r\n");
    assert!(closes(&mut test, alice));
    assert!(!closes(&mut test, admin));
    assert_eq!(
        test.run(admin, "acl deluser default"),
        "-ERR The 'default' user cannot be removed\r\n"
    );
    let (mut test, _, alice) = with_alice("+@all");
    assert_eq!(test.run(alice, "acl deluser alice"), ":1\r\n", "the reply comes first");
    assert!(closes(&mut test, alice));
}

#[test]
fn subscribers_without_permission_are_closed() {
    let (mut test, admin, alice) = with_alice("+@all &a &b* ~*");
    let other = test.client();
    test.run(other, "auth alice secret");
    test.run(alice, "subscribe a");
    test.run(other, "psubscribe b*");
    test.run(admin, "acl setuser alice &c");
    assert!(!closes(&mut test, alice) && !closes(&mut test, other));
    test.run(admin, "acl setuser alice resetchannels &b*");
    assert!(closes(&mut test, alice) && !closes(&mut test, other));
}

#[test]
fn all_rules_of_a_change_hold_or_none() {
    let (mut test, admin, _) = with_alice("+get");
    let before = test.run(admin, "acl list");
    assert_eq!(
        test.run(admin, "acl setuser alice +set nonsense"),
        "-ERR Error in ACL SETUSER modifier 'nonsense': Syntax error\r\n"
    );
    assert_eq!(
        test.run(admin, "acl setuser alice +set (~a"),
        "-ERR Unmatched parenthesis in acl selector starting at '(~a'.\r\n"
    );
    assert_eq!(test.run(admin, "acl list"), before);
    let spaces = test.run_words(admin, &[b"acl", b"setuser", b"a b"]);
    assert_eq!(spaces, b"-ERR Usernames can't contain spaces or null characters\r\n");
}

#[test]
fn a_dry_run_names_what_is_refused() {
    let (mut test, admin, _) = with_alice("~a &c +@all -flushall");
    assert_eq!(test.run(admin, "acl dryrun alice get a"), "+OK\r\n");
    for (command, text) in [
        ("get b", "User alice has no permissions to access the 'b' key"),
        ("publish x y", "User alice has no permissions to access the 'x' channel"),
        ("flushall", "User alice has no permissions to run the 'flushall' command"),
    ] {
        let reply = test.run(admin, &format!("acl dryrun alice {command}"));
        assert_eq!(reply, format!("${}\r\n{text}\r\n", text.len()));
    }
    assert_eq!(test.run(admin, "acl dryrun bob get a"), "-ERR User 'bob' not found\r\n");
    assert_eq!(test.run(admin, "acl dryrun alice nope"), "-ERR Command 'nope' not found\r\n");
    assert!(test.run(admin, "acl dryrun alice get").contains("'get' command"));
}

#[test]
fn the_acl_file_is_written_and_read() {
    let config = Config { aclfile: "users.acl".into(), ..Config::default() };
    assert!(TestEngine::with_config(config.clone()).is_err(), "the file must be there");
    let mut test = TestEngine::new();
    test.engine.config.aclfile = config.aclfile;
    let (admin, alice) = (test.client(), test.client());
    test.run(admin, "acl setuser alice on >secret ~a +@all (%R~b +get)");
    let users = test.run(admin, "acl list");
    assert_eq!(test.run(admin, "acl save"), "+OK\r\n");
    test.run(alice, "auth alice secret");
    test.run(admin, "acl setuser bob on nopass");
    assert_eq!(test.run(admin, "acl load"), "+OK\r\n");
    assert_eq!(test.run(admin, "acl list"), users);
    assert!(closes(&mut test, alice) && !closes(&mut test, admin));
}

#[test]
fn a_wrong_acl_file_changes_nothing() {
    let mut test = TestEngine::new();
    test.engine.config.aclfile = "users.acl".into();
    let admin = test.client();
    let users = test.run(admin, "acl list");
    let text = b"user a on\nbob on\n\nuser a off\nuser c +nope >pw !x ?? (~a\nuser c\td on\nuser d +nope >pw !x ??";
    test.engine.env.replace_file("", text).expect("there is room");
    assert_eq!(
        test.run(admin, "acl load"),
        "-ERR users.acl:2 should start with user keyword followed by the username. \
         WARNING: Duplicate user 'a' found on line 4. \
         users.acl:5: Unmatched parenthesis in selector definition.\
         'users.acl:6: username 'c\td' contains invalid characters. \
         users.acl:7: Error in applying operation '+nope': Unknown command or category name in \
         ACL. users.acl:7: The password hash must be exactly 64 characters and contain only \
         lowercase hexadecimal characters. \
         WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n"
    );
    assert_eq!(test.run(admin, "acl list"), users);
    test.engine.config.aclfile.clear();
    assert!(test.run(admin, "acl load").contains("not configured to use an ACL file"));
    assert!(test.run(admin, "acl save").contains("not configured to use an ACL file"));
}

#[test]
fn users_of_the_configuration_are_taken_in_or_refused() {
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let start = |lines: &[&str]| {
        let users = lines.iter().map(|line| words(line)).collect();
        TestEngine::with_config(Config { users, ..Config::default() })
    };
    let mut test = start(&["bob on (~a +get ) +@all", "default on nopass +ping"]).expect("good");
    let client = test.client();
    assert_eq!(test.run(client, "ping"), "+PONG\r\n");
    assert!(test.run(client, "get a").starts_with("-NOPERM"));
    let refused = |lines: &[&str]| start(lines).err().expect("wrong");
    assert!(refused(&["a", "a"]).contains("Duplicate user found"));
    assert!(refused(&["a >password <secret"]).contains("does not exist"));
    assert!(!refused(&["a >password <secret"]).contains("secret"));
    assert!(refused(&["a (~x"]).contains("Unmatched parenthesis"));
    let both = Config { users: vec![words("a")], aclfile: "f".into(), ..Config::default() };
    assert!(TestEngine::with_config(both).is_err());
}

#[test]
fn who_and_what_there_is() {
    let (mut test, admin, alice) = with_alice("+@all");
    assert_eq!(test.run(alice, "acl whoami"), "$5\r\nalice\r\n");
    assert_eq!(test.run(admin, "acl users"), "*2\r\n$5\r\nalice\r\n$7\r\ndefault\r\n");
    assert!(test.run(admin, "client list").contains(" user=alice "));
    assert_eq!(test.run(admin, "client kill user nobody"), "-ERR No such user 'nobody'\r\n");
    assert_eq!(test.run(admin, "client kill user alice"), ":1\r\n");
    assert!(closes(&mut test, alice));
    assert_eq!(test.run(admin, "acl genpass 5"), "$2\r\na5\r\n");
    assert!(test.run(admin, "acl genpass").starts_with("$64\r\n"));
    assert!(test.run(admin, "acl genpass 4097").starts_with("-ERR ACL GENPASS argument"));
    assert!(test.run(admin, "acl cat scripting").contains("evalsha_ro"));
    assert_eq!(test.run(admin, "acl cat nope"), "-ERR Unknown category 'nope'\r\n");
    assert_eq!(test.run(admin, "acl getuser nobody"), "$-1\r\n");
}
