//! What a `launch` request asks for.

use perilune_lint::code_lines;
use serde_json::Value;
use std::path::PathBuf;

/// A script or function to debug, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// The file, as the client named it.
    pub(super) program: PathBuf,
    /// Its content.
    pub(super) source: Vec<u8>,
    /// The function of that library to call; none for a script.
    pub(super) function: Option<String>,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<String>,
    /// A running server instead of one of our own.
    pub(super) server: Option<ServerAddress>,
    pub(super) stop_on_entry: bool,
}

/// A running server, and how to debug there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerAddress {
    /// `host:port`.
    pub(super) address: String,
    /// `yes` or `sync`, as `SCRIPT DEBUG` takes it.
    pub(super) mode: &'static str,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: u64,
}

/// What may stand in a launch configuration beside what every debugger has.
const OURS: &[&str] = &[
    "program",
    "function",
    "keys",
    "argv",
    "server",
    "mode",
    "username",
    "password",
    "db",
    "stopOnEntry",
];
/// What editors add themselves.
const THEIRS: &[&str] =
    &["name", "type", "request", "noDebug", "presentation", "internalConsoleOptions", "cwd"];

impl Launch {
    /// Reads the arguments of the request. `Err` is a message for the user.
    pub(super) fn read(arguments: &Value) -> Result<Launch, String> {
        let fields = arguments.as_object().ok_or("launch needs arguments")?;
        let known = |name: &&String| {
            name.starts_with("__") || OURS.iter().chain(THEIRS).any(|known| known == name)
        };
        if let Some(unknown) = fields.keys().find(|name| !known(name)) {
            return Err(format!("launch does not know '{unknown}'"));
        }
        let program = text(arguments, "program")?.ok_or("launch needs 'program'")?;
        let source =
            std::fs::read(&program).map_err(|error| format!("Can't read {program}: {error}"))?;
        Ok(Launch {
            program: program.into(),
            source,
            function: text(arguments, "function")?,
            keys: texts(arguments, "keys")?,
            args: texts(arguments, "argv")?,
            server: server(arguments)?,
            stop_on_entry: flag(arguments, "stopOnEntry", true)?,
        })
    }

    /// The command that is debugged.
    pub(super) fn command(&self) -> Vec<Vec<u8>> {
        let count = self.keys.len().to_string();
        let mut words = match &self.function {
            None => vec![b"EVAL".to_vec(), self.source.clone()],
            Some(function) => vec![b"FCALL".to_vec(), function.clone().into_bytes()],
        };
        words.push(count.into_bytes());
        words.extend(self.keys.iter().chain(&self.args).map(|word| word.clone().into_bytes()));
        words
    }

    /// Number of lines of the program.
    pub(super) fn line_count(&self) -> u64 {
        self.source.split(|byte| *byte == b'\n').count() as u64
    }

    /// The first line from `line` on at which the program can stop. A program with a mistake of
    /// syntax never runs, so any line is as good.
    pub(super) fn code_line(&self, line: u64) -> Option<u64> {
        match code_lines(&self.source) {
            Ok(code) => code.into_iter().map(u64::from).find(|code| *code >= line),
            Err(_) => Some(line),
        }
    }
}

fn server(arguments: &Value) -> Result<Option<ServerAddress>, String> {
    let Some(address) = text(arguments, "server")? else {
        let needless = ["mode", "username", "password", "db"];
        return match needless.iter().find(|name| arguments.get(**name).is_some()) {
            Some(name) => Err(format!("'{name}' makes sense with 'server' only")),
            None => Ok(None),
        };
    };
    let mode = match text(arguments, "mode")?.as_deref() {
        None | Some("yes") => "yes",
        Some("sync") => "sync",
        Some(other) => return Err(format!("'mode' is yes or sync, not {other}")),
    };
    let db = match arguments.get("db") {
        None => 0,
        Some(db) => db.as_u64().ok_or("'db' is a number")?,
    };
    let (username, password) = (text(arguments, "username")?, text(arguments, "password")?);
    if username.is_some() && password.is_none() {
        return Err("'username' needs a 'password'".to_owned());
    }
    Ok(Some(ServerAddress { address, mode, username, password, db }))
}

fn text(arguments: &Value, name: &str) -> Result<Option<String>, String> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("'{name}' is a string")),
    }
}

fn flag(arguments: &Value, name: &str, default: bool) -> Result<bool, String> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_bool().ok_or_else(|| format!("'{name}' is true or false")),
    }
}

/// A list of strings; numbers are taken as they are written.
fn texts(arguments: &Value, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("'{name}' is a list of strings");
    let items = match arguments.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(wrong)?,
    };
    items
        .iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(wrong()),
        })
        .collect()
}
