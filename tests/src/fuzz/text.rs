//! Targets that read what people and clients write: requests, rules, configurations, and the files
//! of an append-only log.

use super::data::kind_of;
use super::{Target, effect_of};
use perilune_persist::aof::{Manifest, Record, Records};
use perilune_resp::{Decoder, DecoderLimits, encode_request};
use perilune_server::config_file::{ConfigSources, load_with};
use perilune_testkit::{Client, FakeEngine, TestServer};

/// Requests as they come from a socket, whole and in two pieces.
pub(super) struct Requests;

/// All requests of some bytes, or those before an error, and the error.
fn decoded(pieces: &[&[u8]]) -> (Vec<Vec<Vec<u8>>>, String) {
    let mut decoder = Decoder::new(DecoderLimits::default());
    let (mut buf, mut requests) = (Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&buf) {
                Ok(Some(consumed)) => {
                    requests.push(decoder.args(&buf).map(<[u8]>::to_vec).collect());
                    buf.drain(..consumed);
                }
                Ok(None) => break,
                Err(error) => return (requests, error.to_string()),
            }
        }
    }
    (requests, String::new())
}

impl Target for Requests {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        encode_request(&["SET", "key", "value"], &mut bytes);
        encode_request(&["GET", ""], &mut bytes);
        let lines = b"PING\r\nSET \"a b\\x00\" 'c'\r\n\r\n*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n";
        vec![bytes, lines.to_vec()]
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\r\n",
            "*3\r\n",
            "$-1\r\n",
            "*1\r\n$1\r\n",
            "$2147483648\r\n",
            "\"",
            "*1000000\r\n",
            "\\x",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let whole = decoded(&[input]);
        for at in [1, input.len() / 3, input.len() / 2] {
            let (first, second) = input.split_at(at.min(input.len()));
            assert_eq!(decoded(&[first, second]), whole, "cut at {at}");
        }
        let lengths: Vec<usize> = whole.0.iter().map(Vec::len).take(6).collect();
        effect_of((whole.1, lengths))
    }
}

/// Rules of a user, one a line.
pub(super) struct AclRules {
    server: TestServer,
    client: Client,
}

impl AclRules {
    pub(super) fn new() -> Self {
        let mut server = TestServer::new(vec![Box::new(FakeEngine::new())]);
        let client = server.connect();
        AclRules { server, client }
    }
}

impl Target for AclRules {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        [
            "on\n>secret\n~*\n+@all",
            "reset\n+get\n-@dangerous\n%R~a*\n%W~b\n&news.*",
            "(+get ~x* &y)\n(-@all +@string allkeys)\nclearselectors\nnopass",
            "+config|get\n-config|set\n+select|0\n<secret\nresetpass\noff",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\n",
            "+@",
            "-@",
            "+",
            "(",
            ")",
            "~",
            "%RW~",
            "|",
            "#",
            "!",
            "&",
            "allkeys",
            "on ",
            "sanitize-payload",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"alice"];
        words.extend(input.split(|byte| *byte == b'\n'));
        let effect = kind_of(&self.server.reply(self.client, &words));
        let told = self.server.reply(self.client, &["ACL", "GETUSER", "alice"]);
        let listed = self.server.reply(self.client, &["ACL", "LIST"]);
        self.server.reply(self.client, &["ACL", "DRYRUN", "alice", "set", "x", "y"]);
        self.server.reply(self.client, &["ACL", "DRYRUN", "alice", "publish", "x", "y"]);
        self.server.reply(self.client, &["ACL", "DELUSER", "alice"]);
        effect_of((effect, kind_of(&told), kind_of(&listed)))
    }
}

/// Configuration files, read as standard input.
pub(super) struct ConfigFile;

impl Target for ConfigFile {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        [
            "port 7000\nbind 127.0.0.1 ::1\nsave 900 1\nsave \"\"\nmaxmemory 100mb\n",
            "# a comment\nrename-command CONFIG \"\"\nuser alice on >x ~* +@all\nloglevel notice\n",
            "client-output-buffer-limit replica 256mb 64mb 60\nlatency-tracking-info-percentiles 50 99.9\n",
            "notify-keyspace-events KEA\nhash-max-listpack-entries 512\nunixsocketperm 700\ntimeout 0\n",
            "appendonly yes\nappendfsync everysec\nreplicaof no one\noom-score-adj-values 0 200 800\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\n",
            "\"",
            "'",
            "\\x",
            " ",
            "1gb",
            "-1",
            "yes",
            "no",
            "maxmemory-policy ",
            "18446744073709551615kb",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        // It would read other files.
        if input.windows(7).any(|word| word.eq_ignore_ascii_case(b"include")) {
            return 0;
        }
        let sources = ConfigSources { file: None, stdin: true, options: Vec::new() };
        match load_with(&sources, &mut &input[..]) {
            Ok(_) => 1,
            Err(error) => {
                let text = error.to_string();
                effect_of(text.lines().last().map(|line| line.chars().take(40).collect::<String>()))
            }
        }
    }
}

/// Manifests, and records.
pub(super) struct AppendOnly;

impl Target for AppendOnly {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut manifest = Manifest::of_single_file("appendonly.aof");
        manifest.begin_base("appendonly.aof", true);
        manifest.begin_incr("appendonly.aof");
        let mut records = b"#TS:1700000000\r\n".to_vec();
        encode_request(&["SELECT", "0"], &mut records);
        encode_request(&["SET", "key", "value"], &mut records);
        let quoted = b"file \"a b.aof\" seq 1 type b\nfile c seq 2 type i\n# x\n".to_vec();
        vec![manifest.format(), records, quoted]
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "file ", " seq ", " type b", " type i", " type h", "\r\n", "*1\r\n", "$-1\r\n", "#TS:",
            "\"",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let manifest = match Manifest::parse(input) {
            Ok(manifest) if manifest.is_empty() => 0,
            Ok(manifest) => {
                let again = Manifest::parse(&manifest.format()).map(|again| again.format());
                assert_eq!(again.ok(), Some(manifest.format()), "a manifest of our own");
                effect_of(manifest.files().count())
            }
            Err(error) => effect_of(error.to_string().chars().take(40).collect::<String>()),
        };
        let mut records = Records::new(input, 0);
        let (mut commands, mut lines) = (0_usize, 0_usize);
        let end = loop {
            match records.read() {
                Ok(Some(Record::Command(arguments))) => commands += arguments.iter().count(),
                Ok(Some(Record::Annotation(_))) => lines += 1,
                Ok(None) => break String::new(),
                Err(error) => {
                    break format!("{error:?}").chars().filter(char::is_ascii_alphabetic).collect();
                }
            }
        };
        assert!(records.offset() <= input.len() as u64);
        effect_of((manifest, commands.min(32), lines.min(8), end))
    }
}
