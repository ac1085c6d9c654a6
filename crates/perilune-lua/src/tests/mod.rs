//! The engine with a fake host: what Redis 7.2 answers, and what it must survive.

mod conversions;
mod debug;
mod functions;
mod hostile;
mod kill;
mod sandbox;

use perilune_resp::{DeferredKind, Protocol, ReplyWriter, RespWriter};
use perilune_script::{
    AclCheckError, Interrupt, Invocation, LogLevel, ReplFlags, ScriptEngine, ScriptHost,
};

use crate::LuaEngine;

/// A server with one string key, a log, and replies of every kind by command name.
pub(crate) struct FakeHost {
    pub(super) commands: Vec<Vec<Vec<u8>>>,
    pub(super) log: Vec<(LogLevel, Vec<u8>)>,
    /// Where the last line of the log was asked for.
    pub(super) log_line: Option<u32>,
    pub(super) repl: ReplFlags,
    pub(super) protocol: Protocol,
    pub(crate) interrupts: u32,
    pub(crate) interrupts_max: u32,
    /// What `tree` answers.
    pub(super) tree: conversions::Tree,
}

impl FakeHost {
    pub(crate) fn new() -> Self {
        FakeHost {
            commands: Vec::new(),
            log: Vec::new(),
            log_line: None,
            repl: ReplFlags::ALL,
            protocol: Protocol::Resp2,
            interrupts: 0,
            interrupts_max: u32::MAX,
            tree: conversions::Tree::Int(0),
        }
    }
}

impl ScriptHost for FakeHost {
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        self.commands.push(argv.iter().map(|arg| arg.to_vec()).collect());
        let count = argv.get(1).and_then(|arg| std::str::from_utf8(arg).ok()?.parse().ok());
        let count: usize = count.unwrap_or(0);
        match argv[0] {
            b"get" => out.bulk(argv[1]),
            b"ping" => out.status(b"PONG"),
            b"incr" => out.int(7),
            b"null" => out.null(),
            b"nullarray" => out.null_array(),
            b"double" => out.double(0.1),
            b"true" => out.bool(true),
            b"false" => out.bool(false),
            b"big" => out.big_number(b"123456789012345678901234567890"),
            b"verbatim" => out.verbatim(b"mkd", b"# t"),
            b"wrongtype" => out.error(b"WRONGTYPE not that kind"),
            b"codeless" => out.error(b"oops"),
            b"array" => {
                out.array(3);
                out.int(1);
                out.array(0);
                out.array(2);
                out.null();
                out.error(b"ERR inner");
            }
            b"map" => {
                out.map(2);
                out.bulk(b"a");
                out.int(1);
                out.bulk(b"b");
                out.array(1);
                out.bulk(b"x");
            }
            b"badmap" => {
                out.map(1);
                out.null();
                out.int(1);
            }
            b"set" => {
                out.set(2);
                out.bulk(b"m");
                out.bulk(b"n");
            }
            b"deferred" => {
                let outer = out.begin_deferred(DeferredKind::Array);
                let inner = out.begin_deferred(DeferredKind::Map);
                out.bulk(b"k");
                out.int(5);
                out.end_deferred(inner, 1);
                out.int(6);
                out.end_deferred(outer, 2);
            }
            b"attribute" => {
                out.attribute(1);
                out.bulk(b"ttl");
                out.array(1);
                out.int(9);
                out.bulk(b"value");
            }
            b"deep" => {
                for _ in 0..count {
                    out.array(1);
                }
                out.int(1);
            }
            b"wide" => {
                out.array(count);
                for index in 0..count {
                    out.int(index as i64);
                }
            }
            b"tree" => self.tree.write(out),
            b"interrupts" => out.int(self.interrupts.into()),
            b"panic" => panic!("the host is broken"),
            _ => out.error(b"ERR Unknown Redis command called from script"),
        }
    }

    fn interrupt(&mut self) -> Interrupt {
        self.interrupts += 1;
        if self.interrupts > self.interrupts_max {
            return Interrupt::Kill("ERR Script killed by user with SCRIPT KILL...");
        }
        Interrupt::Continue
    }

    fn log(&mut self, level: LogLevel, message: &[u8], line: Option<u32>) {
        self.log.push((level, message.to_vec()));
        self.log_line = line;
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn set_repl(&mut self, flags: ReplFlags) {
        self.repl = flags;
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Result<bool, AclCheckError> {
        match argv[0] {
            b"get" => Ok(true),
            b"flushall" => Ok(false),
            _ => Err(AclCheckError::UnknownCommand),
        }
    }
}

/// An engine, a host, and a client's protocol.
pub(crate) struct Bench {
    pub(crate) engine: LuaEngine,
    pub(crate) host: FakeHost,
    pub(super) client: Protocol,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench { engine: LuaEngine::new(), host: FakeHost::new(), client: Protocol::Resp2 }
    }

    /// Runs a script as `EVAL` does and answers the reply with spaces for line ends; an error of
    /// the script as `!text @place`.
    pub(crate) fn eval_with(&mut self, source: &str, keys: &[&[u8]], args: &[&[u8]]) -> String {
        let handle = match self.engine.compile(source.as_bytes(), "sha", &mut self.host) {
            Ok(handle) => handle,
            Err(error) => return format!("?{error}"),
        };
        let reply = self.call(handle, keys, args);
        self.engine.forget(handle);
        reply
    }

    pub(super) fn call(
        &mut self,
        handle: perilune_script::Handle,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> String {
        self.host.protocol = Protocol::Resp2;
        let mut bytes = Vec::new();
        let mut writer = RespWriter::new(&mut bytes, self.client);
        let input = Invocation { keys, args };
        match self.engine.call(handle, input, &mut self.host, &mut writer) {
            Ok(()) => String::from_utf8_lossy(&bytes).trim_end().replace("\r\n", " "),
            Err(error) => {
                assert!(bytes.is_empty(), "an error and a reply");
                let mut text = format!("!{}", String::from_utf8_lossy(&error.text));
                if let Some((source, line)) = error.place {
                    text += &format!(
                        " on {}:{}",
                        String::from_utf8_lossy(&source),
                        String::from_utf8_lossy(&line)
                    );
                }
                text + if error.counted { " counted" } else { "" }
            }
        }
    }

    pub(crate) fn eval(&mut self, source: &str) -> String {
        self.eval_with(source, &[], &[])
    }
}

/// Runs each script in one engine and compares.
pub(crate) fn check(cases: &[(&str, &str)]) {
    let mut bench = Bench::new();
    for (source, expected) in cases {
        assert_eq!(bench.eval(source), *expected, "{source}");
    }
}
