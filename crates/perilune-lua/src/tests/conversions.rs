//! Values in both directions.

use super::{Bench, check};
use perilune_resp::{DeferredKind, Protocol, ReplyWriter, RespWriter};
use perilune_script::ScriptEngine;
use proptest::prelude::*;

/// A reply that scripts can hand on unchanged.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Int(i32),
    Bulk(Vec<u8>),
    Status(Vec<u8>),
    Null,
    Double(f64),
    Array(Vec<Tree>),
    Deferred(Vec<Tree>),
    Map(i32, Box<Tree>),
    Set(Vec<u8>),
}

impl Tree {
    pub(crate) fn write(&self, out: &mut dyn ReplyWriter) {
        match self {
            Tree::Int(value) => out.int((*value).into()),
            Tree::Bulk(text) => out.bulk(text),
            Tree::Status(text) => out.status(text),
            Tree::Null => out.null(),
            Tree::Double(value) => out.double(*value),
            Tree::Array(items) => {
                out.array(items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Tree::Deferred(items) => {
                let at = out.begin_deferred(DeferredKind::Array);
                items.iter().for_each(|item| item.write(out));
                out.end_deferred(at, items.len());
            }
            Tree::Map(key, value) => {
                out.map(1);
                out.int((*key).into());
                value.write(out);
            }
            Tree::Set(member) => {
                out.set(1);
                out.bulk(member);
            }
        }
    }
}

/// Without nulls, which end arrays in Lua when they are nil.
fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        any::<i32>().prop_map(Tree::Int),
        bytes().prop_map(Tree::Bulk),
        prop::collection::vec(b'a'..=b'z', 0..9).prop_map(Tree::Status),
        any::<i32>().prop_map(|value| Tree::Double(f64::from(value) / 8.0)),
        bytes().prop_map(Tree::Set),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            items().prop_map(Tree::Array),
            items().prop_map(Tree::Deferred),
            (any::<i32>(), inner.clone()).prop_map(|(key, value)| Tree::Map(key, value.into())),
        ]
    })
}

fn handed_on(tree: &Tree, protocol: Protocol) -> (Vec<u8>, Vec<u8>) {
    let mut bench = Bench::new();
    bench.client = protocol;
    bench.host.tree = tree.clone();
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    tree.write(&mut RespWriter::new(&mut direct, protocol));
    let source = match protocol {
        Protocol::Resp2 => "return redis.call('tree')",
        Protocol::Resp3 => "redis.setresp(3) return redis.call('tree')",
    };
    let handle = bench.engine.compile(source.as_bytes(), "", &mut bench.host).unwrap();
    let input = perilune_script::Invocation { keys: &[], args: &[] };
    let mut out = RespWriter::new(&mut through, protocol);
    bench.engine.call(handle, input, &mut bench.host, &mut out).unwrap();
    (direct, through)
}

proptest! {
    #[test]
    fn replies_pass_through_scripts(tree in tree()) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let (direct, through) = handed_on(&tree, protocol);
            prop_assert_eq!(direct, through);
        }
    }
}

#[test]
fn null_passes_through_scripts() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let (direct, through) = handed_on(&Tree::Null, protocol);
        assert_eq!(direct, through);
    }
}

#[test]
fn scripts_return_values() {
    check(&[
        ("return 1", ":1"),
        ("return 3.99", ":3"),
        ("return -3.99", ":-3"),
        ("return 1e300", ":-9223372036854775808"),
        ("return 0/0", ":-9223372036854775808"),
        ("return 'x'", "$1 x"),
        ("return true", ":1"),
        ("return false", "$-1"),
        ("return nil", "$-1"),
        (
            "return print == nil",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'print' on @user_script:1",
        ),
        ("return {1,2,nil,4}", "*2 :1 :2"),
        ("return {1,{'a',{}},false}", "*3 :1 *2 $1 a *0 $-1"),
        ("return {ok='a\\r\\nb\\0c'}", "+a  b"),
        ("return {err='a\\r\\nb\\r\\n'}", "!a\r\nb"),
        ("return {1,{err='inner'},{ok='st'}}", "*3 :1 -inner +st"),
        ("return {double=3.5}", "$3 3.5"),
        ("return {big_number='12\\n3'}", "$4 12 3"),
        ("return {verbatim_string={format='txt',string='a'}}", "$1 a"),
        ("return {verbatim_string={format='txt'}, 5}", "*1 :5"),
        ("return {map={a=1}}", "*2 $1 a :1"),
        ("return {map={a={map={b={1}}}}}", "*2 $1 a *2 $1 b *1 :1"),
        ("return {set={a=true}}", "*1 $1 a"),
        ("return {set={}}", "*0"),
        ("return function() end", "$-1"),
        ("return setmetatable({1,2},{__index=function() return 1 end})", "*2 :1 :2"),
    ]);
}

#[test]
fn resp3_clients_get_typed_values() {
    let mut bench = Bench::new();
    bench.client = Protocol::Resp3;
    for (source, expected) in [
        ("return {double=3.5}", ",3.5"),
        ("return {big_number='123'}", "(123"),
        ("return {verbatim_string={format='txt',string='a'}}", "=5 txt:a"),
        ("return {map={a=1}}", "%1 $1 a :1"),
        ("return {set={a=true}}", "~1 $1 a"),
        ("return true", ":1"),
        ("return false", "_"),
        ("redis.setresp(3) return true", "#t"),
        ("redis.setresp(3) return false", "#f"),
        ("redis.setresp(3) return {map={[1]=false}}", "%1 :1 #f"),
        ("redis.setresp(3) local r = redis.call('map') r.map.a = nil return r", "%1 $1 b *1 $1 x"),
    ] {
        assert_eq!(bench.eval(source), expected, "{source}");
    }
}

#[test]
fn scripts_receive_values() {
    check(&[
        ("return redis.call('get', 'a\\0b')", "$3 a\0b"),
        ("return redis.call('ping')", "+PONG"),
        ("return redis.call('ping').ok", "$4 PONG"),
        ("return type(redis.call('incr'))", "$6 number"),
        ("return redis.call('null') == false", ":1"),
        ("return redis.call('nullarray') == false", ":1"),
        ("return redis.call('double')", "$3 0.1"),
        ("return redis.call('true')", ":1"),
        ("return redis.call('big')", "$30 123456789012345678901234567890"),
        ("return redis.call('verbatim')", "$3 # t"),
        ("return redis.call('array')", "*3 :1 *0 *2 $-1 -ERR inner"),
        ("return redis.call('map')", "*4 $1 a :1 $1 b *1 $1 x"),
        ("return redis.call('set')", "*2 $1 m $1 n"),
        ("return redis.call('deferred')", "*2 *2 $1 k :5 :6"),
        ("return redis.pcall('wrongtype')", "!WRONGTYPE not that kind counted"),
        ("return redis.pcall('codeless').err", "$8 ERR oops"),
        ("return #redis.call('wide', 100000)", ":100000"),
        ("return redis.call('wide', 100000)[99999]", ":99998"),
    ]);
}

#[test]
fn scripts_receive_typed_values_in_resp3() {
    check(&[
        ("redis.setresp(3) return tostring(redis.call('null'))", "$3 nil"),
        ("redis.setresp(3) return tostring(redis.call('double').double)", "$3 0.1"),
        ("redis.setresp(3) return tostring(redis.call('true'))", "$4 true"),
        (
            "redis.setresp(3) return redis.call('big').big_number",
            "$30 123456789012345678901234567890",
        ),
        ("redis.setresp(3) return redis.call('verbatim').verbatim_string.format", "$3 mkd"),
        ("redis.setresp(3) return redis.call('map').map.b", "*1 $1 x"),
        ("redis.setresp(3) return tostring(redis.call('set').set.n)", "$4 true"),
        ("redis.setresp(3) return redis.call('deferred')[1].map.k", ":5"),
        ("redis.setresp(3) return redis.call('attribute')", "$5 value"),
        ("redis.setresp(3) return next(redis.call('badmap').map) == nil and 1", ":1"),
    ]);
}

#[test]
fn numbers_become_arguments() {
    let mut bench = Bench::new();
    bench.eval("redis.call('get', 1, -0.5, 1e9, 2^53, 3.0)");
    let args: Vec<_> = bench.host.commands[0].iter().map(|a| String::from_utf8_lossy(a)).collect();
    assert_eq!(args, ["get", "1", "-0.5", "1000000000", "9007199254740992", "3"]);
}

#[test]
fn numbers_are_written_as_lua_does() {
    check(&[
        ("return tostring(0) .. ' ' .. 12 .. ' ' .. -7", "$7 0 12 -7"),
        ("local nought = 0 return tostring(-nought)", "$2 -0"),
        ("return tostring(99999999999999)", "$14 99999999999999"),
        ("return tostring(1e14)", "$5 1e+14"),
        ("return tostring(-2^53)", "$19 -9.007199254741e+15"),
        ("return tostring(0.1) .. ' ' .. tostring(1/3)", "$20 0.1 0.33333333333333"),
        ("return tostring(0.1 + 0.2) .. ' ' .. 1e-4 .. ' ' .. 1e-5", "$16 0.3 0.0001 1e-05"),
        ("return tostring(-1e300) .. ' ' .. 1e300 / 1e-300", "$11 -1e+300 inf"),
    ]);
}

#[test]
fn numbers_are_read_as_lua_does() {
    check(&[
        ("return tonumber('42') + '8' + ' -7 '", ":43"),
        ("return tonumber('0x1F') + '0xa'", ":41"),
        ("return tostring(tonumber('-0'))", "$2 -0"),
        ("return tostring(tonumber('1700000000.125'))", "$14 1700000000.125"),
        ("return '1e3' + '.5e1' + '5.'", ":1010"),
        ("return tostring(tonumber('9007199254740993') == 2^53)", "$4 true"),
        (
            "local all = {'', ' ', '-', '.', '1x', '1 2', '1..2', '1e', '- 1', '0x', 'x', '+-1'}
             for i, text in ipairs(all) do assert(tonumber(text) == nil, text) end return 1",
            ":1",
        ),
        ("return tostring(tonumber('123456789012345678901234567890'))", "$19 1.2345678901235e+29"),
        ("return tonumber('ff', 16) + tonumber('12', 10) + tonumber('7', nil)", ":274"),
        ("return tostring(tonumber({})) .. tostring(tonumber(nil)) .. tonumber(5)", "$7 nilnil5"),
        (
            "local ok, text = pcall(tonumber) return text",
            "$39 bad argument #1 to '?' (value expected)",
        ),
        (
            "local ok, text = pcall(function() local n = tonumber('1', 99) end)
             return text:match('bad.*')",
            "$49 bad argument #2 to 'tonumber' (base out of range)",
        ),
    ]);
}

#[test]
#[cfg(not(feature = "luajit"))]
fn texts_of_numbers_end_at_a_nul() {
    check(&[
        ("return tostring(tonumber('12\\0')) .. tostring(tonumber('12'))", "$4 1212"),
        ("return '12\\0' + 1", ":13"),
    ]);
}

#[test]
fn nesting_has_limits_but_no_end_of_the_stack() {
    let mut bench = Bench::new();
    let reply = bench.eval("local t={} t[1]=t return t");
    assert!(reply.ends_with("-ERR reached lua stack limit"), "{}", reply.len());
    let reply = bench.eval("local t={} for i=1,100000 do t={map={x=t}} end return t");
    assert!(reply.ends_with("-ERR reached lua stack limit"));
    assert!(bench.eval("return redis.call('deep', 500)").ends_with(":1"));
    let reply = bench.eval("return redis.call('deep', 100000)");
    assert!(reply.contains("lua stack limit reach"), "{reply}");
}

#[test]
fn thousands_of_arguments_fit() {
    check(&[
        ("local t={} for i=1,7000 do t[i]=i end return redis.call('ping', unpack(t))", "+PONG"),
        (
            "local t={} for i=1,7980 do t[i]='x' end return redis.call('array', unpack(t))",
            "*3 :1 *0 *2 $-1 -ERR inner",
        ),
    ]);
}

#[test]
fn error_replies_to_commands_with_a_full_stack_keep_the_arguments() {
    let mut bench = Bench::new();
    for count in (7980..8000).step_by(1) {
        let script = format!(
            "local t = {{}} for i = 1, {count} do t[i] = 'x' .. i end
             local function f(...) return pcall(redis.call, 'nosuch', 'y', ...) end
             local ok, text = f(unpack(t, 1, 7980))
             local ok2, text2 = f(unpack(t, 1, {count} - 10))
             return tostring(ok) .. tostring(ok2) .. text2"
        );
        let reply = bench.eval(&script);
        assert!(reply.contains("falsefalse"), "{count}: {reply}");
        assert!(reply.contains("Unknown Redis command"), "{count}: {reply}");
    }
}

/// Maps of maps within so many arrays: what Lua's stack holds of them has every length.
fn nested_maps(arrays: usize, maps: usize) -> Tree {
    let leaf = Tree::Array(vec![Tree::Set(b"m".to_vec()), Tree::Null]);
    let maps = (0..maps).fold(leaf, |inner, _| Tree::Map(1, Box::new(inner)));
    (0..arrays).fold(maps, |inner, _| Tree::Deferred(vec![Tree::Int(1), inner, Tree::Int(2)]))
}

#[test]
fn replies_that_outgrow_the_stack_are_refused_wherever_they_do() {
    let mut bench = Bench::new();
    for (arrays, maps) in (0..4).flat_map(|arrays| (1..20).map(move |maps| (arrays, maps))) {
        bench.host.tree = nested_maps(arrays, maps);
        let script = format!(
            "redis.setresp(3)
             local t = {{}} for i = 1, 7985 do t[i] = 'x' end
             local ok, reply = pcall(redis.call, 'tree', unpack(t))
             if not ok then return reply end
             for i = 1, {arrays} do
               if reply[1] ~= 1 or reply[3] ~= 2 then return 'broken' end
               reply = reply[2]
             end
             for i = 1, {maps} do reply = reply.map[1] end
             return tostring(reply[1].set.m)"
        );
        let reply = bench.eval(&script);
        let is_whole = reply == "$4 true";
        assert!(is_whole || reply.contains("lua stack limit reach"), "{arrays} {maps}: {reply}");
        // Below the member lie its set, the wrapper of that, and the array; 14 slots are sure.
        assert_eq!(is_whole, arrays + 3 * maps + 3 < 14, "{arrays} {maps}");
    }
    bench.host.interrupts_max = bench.host.interrupts + 2;
    assert!(bench.eval("while true do end").starts_with("!ERR Script killed"));
}
