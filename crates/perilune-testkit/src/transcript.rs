//! Conversations with a server, written down as text.
//!
//! ```text
//! # A comment. Words are quoted as in redis-cli.
//! > SET greeting "hello world"
//! < OK
//! > LRANGE list 0 -1
//! < 1) "a"
//! < 2) "b"
//! # Letters in front name a client; several may talk, and one may wait.
//! b> BLPOP queue 0
//! = 1 waiting
//! > RPUSH queue job
//! < (integer) 1
//! b< 1) "queue"
//! b< 2) "job"
//! # (The line with = goes on when so many clients wait for keys.)
//! # Part of a reply, for what differs from run to run.
//! > TIME
//! <~ 1) "
//! # Time passes, where it is virtual.
//! + 1500 ms
//! ```
//!
//! Consecutive `<` lines of one client are one reply, laid out as `redis-cli` does. An empty line
//! or a comment ends a reply, which separates it from the next one of the same client.

use perilune_resp::{Value, format_cli, split_args};
use std::fmt;
use std::io;

/// The clients of a conversation, by name. A client connects when it is first named.
pub trait Clients {
    /// Sends a request; its reply may come later.
    fn send(&mut self, client: &str, words: &[Vec<u8>]) -> io::Result<()>;

    /// The next reply or push a client gets.
    fn receive(&mut self, client: &str) -> io::Result<Value>;

    /// Returns when so many clients wait for keys, or fails.
    fn until_waiting(&mut self, count: usize) -> io::Result<()>;

    /// Lets time pass, where time is virtual.
    fn advance_ms(&mut self, ms: u64) -> io::Result<()>;
}

/// A conversation.
#[derive(Debug, Clone)]
pub struct Transcript {
    name: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// Number of its first line.
    line: usize,
    action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Send { client: String, words: Vec<Vec<u8>> },
    Expect { client: String, text: String, whole: bool },
    UntilWaiting { count: usize },
    Advance { ms: u64 },
}

/// A line that makes no sense, or a reply that is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the transcript and number of the line.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Mismatch {}

impl Transcript {
    /// Reads the text of a transcript; `name` is for messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mismatch> {
        let mut steps: Vec<Step> = Vec::new();
        // Whether the line before belongs to a reply that may go on.
        let mut in_reply = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                in_reply = false;
                continue;
            }
            let number = index + 1;
            let action = Action::parse(line).map_err(|message| mismatch(name, number, message))?;
            let continued = steps.last_mut().filter(|_| in_reply);
            if !continued.is_some_and(|last| last.action.goes_on_with(&action)) {
                in_reply = matches!(action, Action::Expect { whole: true, .. });
                steps.push(Step { line: number, action });
            }
        }
        Ok(Self { name: name.to_owned(), steps })
    }

    /// Plays the conversation; the first difference ends it.
    pub fn play(&self, clients: &mut dyn Clients) -> Result<(), Mismatch> {
        for step in &self.steps {
            step.action
                .play(clients)
                .map_err(|message| mismatch(&self.name, step.line, message))?;
        }
        Ok(())
    }
}

fn mismatch(name: &str, line: usize, message: String) -> Mismatch {
    Mismatch { place: format!("{name}:{line}"), message }
}

impl Action {
    fn parse(line: &str) -> Result<Self, String> {
        let name_length = line.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (client, rest) = line.split_at(name_length);
        let client = client.to_owned();
        if let Some(text) = rest.strip_prefix("<~") {
            return Ok(Self::Expect { client, text: text.trim().to_owned(), whole: false });
        }
        if let Some(text) = rest.strip_prefix('<') {
            let text = text.strip_prefix(' ').unwrap_or(text).trim_end().to_owned();
            return Ok(Self::Expect { client, text, whole: true });
        }
        if let Some(command) = rest.strip_prefix('>') {
            return match split_args(command.as_bytes()) {
                Some(words) if !words.is_empty() => Ok(Self::Send { client, words }),
                _ => Err("a command is missing or its quotes are not balanced".to_owned()),
            };
        }
        let waiting = rest.strip_prefix('=').and_then(|rest| rest.trim().strip_suffix("waiting"));
        if let Some(count) = waiting.and_then(|count| count.trim().parse().ok()) {
            return Ok(Self::UntilWaiting { count });
        }
        let time = rest.strip_prefix('+').and_then(|time| time.trim().strip_suffix("ms"));
        match time.and_then(|ms| ms.trim().parse().ok()) {
            Some(ms) => Ok(Self::Advance { ms }),
            None => Err(format!("neither command nor reply: {line}")),
        }
    }

    /// Takes the next line of the same reply.
    fn goes_on_with(&mut self, next: &Action) -> bool {
        match (self, next) {
            (
                Self::Expect { client, text, whole: true },
                Self::Expect { client: of, text: line, whole: true },
            ) if client == of => {
                text.push('\n');
                text.push_str(line);
                true
            }
            _ => false,
        }
    }

    fn play(&self, clients: &mut dyn Clients) -> Result<(), String> {
        match self {
            Self::Send { client, words } => {
                clients.send(client, words).map_err(|error| format!("not sent: {error}"))
            }
            Self::UntilWaiting { count } => {
                clients.until_waiting(*count).map_err(|error| error.to_string())
            }
            Self::Advance { ms } => clients.advance_ms(*ms).map_err(|error| error.to_string()),
            Self::Expect { client, text, whole } => {
                let value = clients
                    .receive(client)
                    .map_err(|error| format!("no reply: {error}; expected:\n{text}"))?;
                let got = format_cli(&value);
                let got = got.trim_end();
                let fits = if *whole { got == text } else { got.contains(text.as_str()) };
                if fits { Ok(()) } else { Err(format!("got:\n{got}\nexpected:\n{text}")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Answers every request with its words and keeps what was asked of it.
    #[derive(Default)]
    struct Echo {
        sent: VecDeque<(String, Value)>,
        passed_ms: u64,
    }

    impl Clients for Echo {
        fn send(&mut self, client: &str, words: &[Vec<u8>]) -> io::Result<()> {
            let reply = Value::Array(words.iter().map(Value::bulk).collect());
            self.sent.push_back((client.to_owned(), reply));
            Ok(())
        }

        fn receive(&mut self, client: &str) -> io::Result<Value> {
            let at = self.sent.iter().position(|(name, _)| name == client);
            let sent = at.and_then(|at| self.sent.remove(at));
            sent.map(|(_, value)| value).ok_or_else(|| io::Error::other("nothing"))
        }

        fn until_waiting(&mut self, count: usize) -> io::Result<()> {
            if count == 0 { Ok(()) } else { Err(io::Error::other("nobody waits")) }
        }

        fn advance_ms(&mut self, ms: u64) -> io::Result<()> {
            self.passed_ms += ms;
            Ok(())
        }
    }

    fn play(text: &str) -> Result<Echo, Mismatch> {
        let mut echo = Echo::default();
        Transcript::parse("test", text)?.play(&mut echo)?;
        Ok(echo)
    }

    #[test]
    fn several_clients_replies_and_time() {
        let text = "# hello\n\nb> wait\n> a \"b c\"\n+ 20 ms\n< 1) \"a\"\n< 2) \"b c\"\n\
                    b<~ wai\n+ 1 ms\n";
        let echo = play(text).expect("it fits");
        assert_eq!((echo.sent.len(), echo.passed_ms), (0, 21));
    }

    #[test]
    fn an_empty_line_separates_replies() {
        assert!(play("> a\n> b\n< 1) \"a\"\n\n< 1) \"b\"\n").is_ok());
        assert!(play("> a\n> b\n< 1) \"a\"\n< 1) \"b\"\n").is_err());
    }

    #[test]
    fn differences_are_told_with_their_line() {
        let error = play("# x\n> a\n< 1) \"b\"\n").err().expect("it differs");
        assert_eq!(error.to_string(), "test:3: got:\n1) \"a\"\nexpected:\n1) \"b\"");
        let error = play("> a\n< 1) \"a\"\n\n< OK\n").err().expect("no second reply");
        assert_eq!(error.place, "test:4");
        let error = play("= 0 waiting\n= 2 waiting\n").err().expect("nobody waits");
        assert_eq!(error.to_string(), "test:2: nobody waits");
    }

    #[test]
    fn lines_that_are_nothing_are_refused() {
        for line in ["hello", "> \"a", ">", "+ soon"] {
            assert!(Transcript::parse("t", line).is_err(), "{line}");
        }
    }
}
