//! The script engine alone: what a run costs without a server around it.

#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, criterion_group, criterion_main};
use perilune_lua::LuaEngine;
use perilune_resp::{Protocol, ReplyWriter, RespWriter};
use perilune_script::{
    AclCheckError, Interrupt, Invocation, LogLevel, ReplFlags, ScriptEngine, ScriptHost,
};
use std::hint::black_box;

/// A server whose every command answers the same short string.
struct Host;

impl ScriptHost for Host {
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        match black_box(argv) {
            [b"get", _] => out.bulk(b"hello world"),
            [b"incr", _] => out.int(7),
            _ => out.ok(),
        }
    }

    fn interrupt(&mut self) -> Interrupt {
        Interrupt::Continue
    }

    fn log(&mut self, _level: LogLevel, _message: &[u8], _line: Option<u32>) {}

    fn protocol(&self) -> Protocol {
        Protocol::Resp2
    }

    fn set_protocol(&mut self, _protocol: Protocol) {}

    fn set_repl(&mut self, _flags: ReplFlags) {}

    fn acl_check(&mut self, _argv: &[&[u8]]) -> Result<bool, AclCheckError> {
        Ok(true)
    }
}

const SCRIPTS: [(&str, &str); 6] = [
    ("return_1", "return 1"),
    ("get", "return redis.call('get', KEYS[1])"),
    ("set", "return redis.call('set', KEYS[1], ARGV[1])"),
    ("two_commands", "redis.call('incr', KEYS[1]) return redis.call('get', KEYS[1])"),
    ("hundred_gets", "local c = redis.call for i = 1, 100 do c('get', KEYS[1]) end"),
    ("loop_10000", "local n = 0 for i = 1, 10000 do n = n + i % 7 end return n"),
];

fn scripts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("script");
    for (name, source) in SCRIPTS {
        let mut engine = LuaEngine::new();
        let Ok(handle) = engine.compile(source.as_bytes(), "sha", &mut Host) else { continue };
        let input = Invocation { keys: &[b"key:000001"], args: &[b"value"] };
        let input = if name == "return_1" { Invocation { keys: &[], args: &[] } } else { input };
        let mut reply = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                reply.clear();
                let mut out = RespWriter::new(&mut reply, Protocol::Resp2);
                engine.call(handle, input, &mut Host, &mut out)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scripts);
criterion_main!(benches);
