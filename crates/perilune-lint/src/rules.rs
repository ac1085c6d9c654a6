//! The rules: [`lint`] and the [`Checker`] that walks through a syntax tree.

use crate::similar::hint;
use crate::syntax::{Action, Block, Expression, Function, Key, Kind, Name, Statement, Suffix};
use crate::walk::Scopes;
use crate::{Finding, Position, parser};
use perilune_commands::args::Args;
use perilune_commands::keys::key_positions;
use perilune_commands::spec::CommandFlags;
use perilune_commands::table::{Command, CommandTable};
use perilune_script::{ScriptFlags, parse_library_header, parse_script_header};
use std::collections::BTreeSet;

/// The engines that a `#!` line may name.
const ENGINES: [&str; 1] = ["lua"];

/// Globals that scripts and functions have.
const GLOBALS: [&str; 38] = [
    "_G",
    "_VERSION",
    "assert",
    "bit",
    "cjson",
    "cmsgpack",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getfenv",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "newproxy",
    "next",
    "os",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "redis",
    "select",
    "server",
    "setfenv",
    "setmetatable",
    "string",
    "struct",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
    "__redis__err__handler",
];

/// Those of them that there are while a library is loaded.
const LOADING_GLOBALS: [&str; 3] = ["_G", "redis", "server"];

/// Globals that scripts have and functions have not.
const SCRIPT_GLOBALS: [&str; 2] = ["KEYS", "ARGV"];

/// Fields of the `redis` table.
const API: [&str; 28] = [
    "call",
    "pcall",
    "log",
    "setresp",
    "sha1hex",
    "error_reply",
    "status_reply",
    "set_repl",
    "acl_check_cmd",
    "register_function",
    "replicate_commands",
    "breakpoint",
    "debug",
    "LOG_DEBUG",
    "LOG_VERBOSE",
    "LOG_NOTICE",
    "LOG_WARNING",
    "REPL_NONE",
    "REPL_AOF",
    "REPL_SLAVE",
    "REPL_REPLICA",
    "REPL_ALL",
    "REDIS_VERSION",
    "REDIS_VERSION_NUM",
    "SERVER_NAME",
    "SERVER_VERSION",
    "SERVER_VERSION_NUM",
    "is_debugging",
];

/// Those of them that there are while a library is loaded.
const LOADING_API: [&str; 11] = [
    "register_function",
    "log",
    "LOG_DEBUG",
    "LOG_VERBOSE",
    "LOG_NOTICE",
    "LOG_WARNING",
    "REDIS_VERSION",
    "REDIS_VERSION_NUM",
    "SERVER_NAME",
    "SERVER_VERSION",
    "SERVER_VERSION_NUM",
];

/// Checks a script, or a library when its first line says so. The findings come in the order of
/// their places.
pub fn lint(source: &[u8], commands: &CommandTable) -> Vec<Finding> {
    let start = Position { line: 1, column: 1 };
    let header = match read_header(source) {
        Ok(header) => header,
        Err(message) => return vec![start.says(message)],
    };
    let block = match parser::parse(source) {
        Ok(chunk) => chunk.block,
        Err(finding) => return vec![finding],
    };
    let mut checker = Checker {
        commands,
        is_library: header.is_library,
        no_writes: header.no_writes,
        promising: BTreeSet::new(),
        functions: 0,
        scopes: Scopes::default(),
        reads: Vec::new(),
        written: BTreeSet::new(),
        findings: Vec::new(),
    };
    checker.find_promises(&block);
    checker.block(&block);
    checker.judge_reads();
    let mut findings = checker.findings;
    findings.sort_by_key(|finding| finding.at);
    findings
}

struct Header {
    is_library: bool,
    no_writes: bool,
}

/// Whether the first line is a library's.
pub(crate) fn is_library(source: &[u8]) -> bool {
    let first = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!")
        && first.split(u8::is_ascii_whitespace).any(|word| word.starts_with(b"name="))
}

fn read_header(source: &[u8]) -> Result<Header, String> {
    let is_library = is_library(source);
    let no_writes = if is_library {
        parse_library_header(source, &ENGINES).map_err(|error| error.to_string())?;
        false
    } else {
        let header = parse_script_header(source, &ENGINES).map_err(|error| error.to_string())?;
        header.flags.contains(ScriptFlags::NO_WRITES)
    };
    Ok(Header { is_library, no_writes })
}

struct Checker<'t> {
    commands: &'t CommandTable,
    is_library: bool,
    /// The code promises not to write.
    no_writes: bool,
    /// Functions that are registered with such a promise.
    promising: BTreeSet<String>,
    /// Functions around the place that was reached.
    functions: usize,
    scopes: Scopes,
    /// Globals that are read and that nothing is known of.
    reads: Vec<(Position, String)>,
    /// Globals that are assigned.
    written: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'t> Checker<'t> {
    fn find(&mut self, at: Position, message: impl Into<String>) {
        self.findings.push(at.says(message));
    }

    // ---- the walk --------------------------------------------------------------------------

    fn block(&mut self, block: &Block) {
        let mark = self.scopes.open();
        block.iter().for_each(|statement| self.statement(statement));
        self.scopes.close(mark);
    }

    fn statement(&mut self, statement: &Statement) {
        match &statement.action {
            Action::Local { names, values } => {
                self.expressions(values);
                for (at, name) in names.iter().enumerate() {
                    let api = values.get(at).and_then(|value| self.scopes.api_of(value));
                    self.scopes.declare(&name.text, api);
                }
            }
            Action::LocalFunction { name, function } => {
                self.scopes.declare(&name.text, None);
                self.named_function(&name.text, function);
            }
            Action::Function { name, is_field, function } => {
                match is_field {
                    true => self.read(name.at, &name.text),
                    false => self.write(name.at, &name.text),
                }
                self.named_function(&name.text, function);
            }
            Action::Assign { targets, values } => {
                self.expressions(values);
                for target in targets {
                    match &target.kind {
                        Kind::Name(name) => self.write(target.at, name),
                        _ => self.expression(target),
                    }
                }
            }
            Action::Call(call) => self.expression(call),
            Action::Do(body) => self.block(body),
            Action::While { condition, body } => {
                self.expression(condition);
                self.block(body);
            }
            Action::Repeat { body, condition } => {
                // The condition sees the variables of the body.
                let mark = self.scopes.open();
                body.iter().for_each(|statement| self.statement(statement));
                self.expression(&condition.value);
                self.scopes.close(mark);
            }
            Action::If { arms, otherwise } => {
                for (condition, body) in arms {
                    self.expression(&condition.value);
                    self.block(body);
                }
                self.block(otherwise);
            }
            Action::For { names, values, body } => {
                self.expressions(values);
                let mark = self.scopes.open();
                names.iter().for_each(|name| self.scopes.declare(&name.text, None));
                self.block(body);
                self.scopes.close(mark);
            }
            Action::Return(values) => self.expressions(values),
            Action::Break => {}
        }
    }

    fn named_function(&mut self, name: &str, function: &Function) {
        let promised = self.promising.contains(name);
        let before = self.no_writes;
        self.no_writes |= promised;
        self.function(function);
        self.no_writes = before;
    }

    fn function(&mut self, function: &Function) {
        let mark = self.scopes.open();
        function.parameters.iter().for_each(|name| self.scopes.declare(&name.text, None));
        self.functions += 1;
        self.block(&function.body);
        self.functions -= 1;
        self.scopes.close(mark);
    }

    fn expressions(&mut self, expressions: &[Expression]) {
        expressions.iter().for_each(|expression| self.expression(expression));
    }

    fn expression(&mut self, expression: &Expression) {
        match &expression.kind {
            Kind::Word | Kind::Number(_) | Kind::Text(_) | Kind::Vararg => {}
            Kind::Name(name) => self.read(expression.at, name),
            Kind::Function(function) => self.function(function),
            Kind::Table(fields) => {
                for field in fields {
                    if let Key::Expression(key) = &field.key {
                        self.expression(key);
                    }
                    self.expression(&field.value);
                }
            }
            Kind::Wrapped(inner) => self.expression(inner),
            Kind::Chain { operands, .. } => self.expressions(operands),
            Kind::Suffixed(base, suffixes) => self.suffixed(base, suffixes),
        }
    }

    fn suffixed(&mut self, base: &Expression, suffixes: &[Suffix]) {
        self.expression(base);
        let call = self.scopes.api_call(base, suffixes);
        let is_command = matches!(&call, Some((api, _)) if api == "call" || api == "pcall");
        if self.scopes.is_api_table(base)
            && let Some(Suffix::Field(field)) = suffixes.first()
        {
            self.field(field, is_command);
        }
        let mut promised = false;
        match &call {
            Some((_, arguments)) if is_command => {
                if self.is_loading() {
                    self.find(base.at, "a library can't call commands while it is loaded");
                }
                self.command(base.at, arguments);
            }
            Some((api, arguments)) if api == "register_function" => {
                promised = Registration::of(arguments).no_writes;
            }
            _ => {}
        }
        let before = self.no_writes;
        self.no_writes |= promised;
        for suffix in suffixes {
            match suffix {
                Suffix::Field(_) => {}
                Suffix::Index(index) => self.expression(index),
                Suffix::Call(arguments) | Suffix::Method(arguments) => {
                    self.expressions(arguments);
                }
            }
        }
        self.no_writes = before;
    }

    /// Checks a field of the `redis` table; calls of commands are judged elsewhere.
    fn field(&mut self, field: &Name, is_command: bool) {
        let name = field.text.as_str();
        if !API.contains(&name) {
            let hint = hint(name, API.into_iter());
            self.find(field.at, format!("redis has no field '{name}'{hint}"));
        } else if self.is_loading() && !is_command && !LOADING_API.contains(&name) {
            let text = format!("redis has no field '{name}' while a library is loaded");
            self.find(field.at, text);
        }
    }

    // ---- globals ---------------------------------------------------------------------------

    fn is_known(&self, name: &str) -> bool {
        self.scopes.is_local(name)
            || GLOBALS.contains(&name)
            || (!self.is_library && SCRIPT_GLOBALS.contains(&name))
    }

    /// Whether the code runs when its library is loaded, and not when a function is called.
    fn is_loading(&self) -> bool {
        self.is_library && self.functions == 0
    }

    fn read(&mut self, at: Position, name: &str) {
        if !self.is_known(name) {
            self.reads.push((at, name.to_owned()));
        } else if self.is_loading()
            && !self.scopes.is_local(name)
            && !LOADING_GLOBALS.contains(&name)
        {
            self.find(at, format!("there is no '{name}' while a library is loaded"));
        }
    }

    fn write(&mut self, at: Position, name: &str) {
        if !self.scopes.is_local(name) {
            self.find(at, format!("assignment to global '{name}'; declare it with local"));
            self.written.insert(name.to_owned());
        }
    }

    /// Tells globals that are read and never assigned; of others the assignment was told.
    fn judge_reads(&mut self) {
        for (at, name) in std::mem::take(&mut self.reads) {
            if !self.written.contains(&name) {
                let script_only = if self.is_library { &[][..] } else { &SCRIPT_GLOBALS[..] };
                let hint = hint(&name, GLOBALS.iter().chain(script_only).copied());
                self.find(at, format!("there is no global '{name}'{hint}"));
            }
        }
    }

    // ---- functions of a library ------------------------------------------------------------

    /// Notes the functions that the chunk registers by name as `no-writes`.
    fn find_promises(&mut self, block: &Block) {
        for statement in block {
            if let Action::Call(call) = &statement.action
                && let Kind::Suffixed(base, suffixes) = &call.kind
                && let Some((api, arguments)) = self.scopes.api_call(base, suffixes)
                && api == "register_function"
                && let Registration { no_writes: true, callback: Some(name) } =
                    Registration::of(arguments)
            {
                self.promising.insert(name);
            }
        }
    }

    // ---- commands --------------------------------------------------------------------------

    /// Checks a call of a command at `at`.
    fn command(&mut self, at: Position, arguments: &[Expression]) {
        let Some(first) = arguments.first() else {
            return self.find(at, "a command needs a name");
        };
        let Kind::Text(name) = &first.kind else { return };
        let Some(command) = self.command_of(first.at, name, arguments.get(1)) else { return };
        let (flags, full_name) = (command.flags, command.full_name);
        let shown = full_name.replace('|', " ");
        if let Some(wrong) = wrong_count(command, arguments) {
            return self.find(first.at, format!("'{shown}' {wrong}"));
        }
        let undeclared = undeclared_keys(command, arguments);
        if flags.contains(CommandFlags::NOSCRIPT) {
            self.find(first.at, format!("'{shown}' can't be called from a script"));
        }
        if self.no_writes && flags.intersects(CommandFlags::WRITE | CommandFlags::MAY_REPLICATE) {
            self.find(first.at, format!("'{shown}' writes, in a script with the flag no-writes"));
        }
        for key in undeclared {
            self.find(key, "this key is not declared; pass it in KEYS");
        }
    }

    /// The command, or the subcommand if it is clear which.
    fn command_of(
        &mut self,
        at: Position,
        name: &[u8],
        second: Option<&Expression>,
    ) -> Option<&'t Command> {
        let table = self.commands;
        let text = String::from_utf8_lossy(name);
        let Some(id) = table.by_name(name) else {
            let names = table.iter().filter(|(_, command)| command.parent.is_none());
            let hint = hint(&text, names.map(|(_, command)| command.spec.name));
            self.find(at, format!("unknown command '{text}'{hint}"));
            return None;
        };
        let container = table.get(id);
        if container.subcommands.is_empty() {
            return Some(container);
        }
        let second = second?;
        let Kind::Text(name) = &second.kind else { return None };
        let sub = table.subcommand(id, name);
        if sub.is_none() {
            let (of, name) = (container.spec.name, String::from_utf8_lossy(name));
            let hint = hint(&name, container.subcommands.iter().map(|(name, _)| *name));
            self.find(second.at, format!("unknown subcommand '{name}' of '{of}'{hint}"));
        }
        Some(table.get(sub?))
    }
}

/// What is wrong with the number of arguments, if that can be told.
fn wrong_count(command: &Command, arguments: &[Expression]) -> Option<String> {
    let open = arguments.len() > 1 && arguments.last().is_some_and(Expression::is_open);
    let (arity, count) = (command.spec.arity, arguments.len());
    let wanted = arity.unsigned_abs() as usize;
    let wrong = match (arity > 0, open) {
        (true, false) => count != wanted,
        (true, true) => count - 1 > wanted,
        (false, false) => count < wanted,
        (false, true) => false,
    };
    let names = 1 + usize::from(command.parent.is_some());
    let at_least = if arity > 0 { "" } else { "at least " };
    let (wanted, given) = (wanted.saturating_sub(names), count.saturating_sub(names));
    let or_more = if open { " or more" } else { "" };
    wrong.then(|| format!("takes {at_least}{wanted} arguments, not {given}{or_more}"))
}

/// Places of constants that stand where the command has keys.
fn undeclared_keys(command: &Command, arguments: &[Expression]) -> Vec<Position> {
    let words: Vec<&[u8]> = arguments
        .iter()
        .map(|argument| match &argument.kind {
            Kind::Text(text) => text.as_slice(),
            Kind::Number(text) => text.as_bytes(),
            _ => b"?",
        })
        .collect();
    key_positions(command.spec, Args::new(&words))
        .iter()
        .filter_map(|key| arguments.get(key.index))
        .filter(|argument| argument.is_constant_text())
        .map(|argument| argument.at)
        .collect()
}

/// What a call of `redis.register_function` says.
#[derive(Default)]
struct Registration {
    no_writes: bool,
    /// The function, where it is a variable.
    callback: Option<String>,
}

impl Registration {
    fn of(arguments: &[Expression]) -> Registration {
        let mut registration = Registration::default();
        let Some(Kind::Table(fields)) = arguments.first().map(|first| &first.kind) else {
            return registration;
        };
        for field in fields {
            match (&field.key, &field.value.kind) {
                (Key::Name(key), Kind::Table(flags)) if key == "flags" => {
                    let is_promise =
                        |kind: &Kind| matches!(kind, Kind::Text(flag) if flag == b"no-writes");
                    registration.no_writes = flags.iter().any(|flag| is_promise(&flag.value.kind));
                }
                (Key::Name(key), Kind::Name(name)) if key == "callback" => {
                    registration.callback = Some(name.clone());
                }
                _ => {}
            }
        }
        registration
    }
}

#[cfg(test)]
mod tests;
