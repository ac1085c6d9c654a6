//! Tables against a model, through Lua's own functions, and against what Redis was seen to do.

use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::*;
use proptest::prelude::*;

use super::{exchange, is_readonly, set_readonly};
use crate::raise::push_bytes;
use crate::state::State;
use crate::tests::Bench;

#[test]
fn walks_have_the_order_of_redis() {
    // What Redis 7.2.4 answers.
    let digests: [(&[u8], &str); 3] = [
        (b"1", "382f94e1bc8cb662fae3fb38fe47c3a940f8e054"),
        (b"2", "1cd2653d67c6003685cec77a380b9f9016b5b3b8"),
        (b"3", "38217214d8205ff38c60c213e66b4a17fcbff878"),
    ];
    let mut bench = Bench::new();
    for (seed, digest) in digests {
        let answer = bench.eval_with(include_str!("orders.lua"), &[], &[seed]);
        assert_eq!(answer, format!("$40 {digest}"));
    }
}

/// Runs a chunk that gets what lies on the stack; answers its error.
unsafe fn run(lua: *mut lua_State, source: &CStr) -> Option<String> {
    // SAFETY: the chunk runs protected, and its error is a string.
    unsafe {
        let args = lua_gettop(lua);
        assert_eq!(luaL_loadstring(lua, source.as_ptr()), LUA_OK);
        for index in 1..=args {
            lua_pushvalue(lua, index);
        }
        if lua_pcall(lua, args, 0, 0) == LUA_OK {
            return None;
        }
        let text = CStr::from_ptr(lua_tolstring(lua, -1, std::ptr::null_mut()));
        let text = text.to_string_lossy().into_owned();
        lua_pop(lua, 1);
        Some(text)
    }
}

#[test]
fn marked_tables_refuse_changes() {
    let state = State::new();
    let lua = state.lua();
    let refused = Some("Attempt to modify a readonly table");
    let sources = [
        c"local t = ... t.old = 1",
        c"local t = ... t.old = nil",
        c"local t = ... t.new = 1",
        c"local t = ... t[1] = 1",
        c"local t = ... t[2] = 1",
        c"local t = ... t[1.5] = 1",
        c"local t = ... t[true] = nil",
    ];
    // SAFETY: the state is idle.
    unsafe {
        lua_createtable(lua, 1, 0);
        assert_eq!(run(lua, c"local t = ... t[1], t.old = 1, 1"), None);
        assert!(!is_readonly(lua, 1));
        set_readonly(lua, 1, true);
        assert!(is_readonly(lua, 1));
        for source in sources {
            let error = run(lua, source).unwrap();
            assert_eq!(error.split_once(":1: ").map(|parts| parts.1), refused, "{source:?}");
        }
        assert_eq!(run(lua, c"local t = ... return t[1] + t.old + #t"), None);
        set_readonly(lua, 1, false);
        for source in sources {
            assert_eq!(run(lua, source), None, "{source:?}");
        }
    }
}

#[test]
fn exchanged_tables_keep_their_marks() {
    let state = State::new();
    let lua = state.lua();
    // SAFETY: the state is idle.
    unsafe {
        lua_createtable(lua, 0, 0);
        lua_createtable(lua, 0, 0);
        assert_eq!(run(lua, c"local a, b = ... a.x = {} b[1] = {} b[2] = {}"), None);
        set_readonly(lua, 1, true);
        // Whatever the collector has been through already.
        for _ in 0..50 {
            exchange(lua, 1, 2);
            lua_gc(lua, LUA_GCSTEP, 0);
        }
        exchange(lua, 1, 2);
        exchange(lua, 1, 1);
        lua_gc(lua, LUA_GCCOLLECT, 0);
        assert!(is_readonly(lua, 1) && !is_readonly(lua, 2));
        let moved = c"local a, b = ... b.x.y = a[1][1] or a[2][1] b.y = #a + 1 / (b.y or 1)";
        assert_eq!(run(lua, moved), None);
    }
}

#[test]
fn keys_chosen_to_collide_survive_growth() {
    let subject = Subject(State::new());
    // SAFETY: the state is idle.
    unsafe { lua_createtable(subject.0.lua(), 0, 0) };
    // Numbers whose halves have this sum: what decides where they belong.
    let with_sum = |sum: u32, high: u32| {
        Key::Number(u64::from(high) << 32 | u64::from(sum.wrapping_sub(high)))
    };
    // Keys that belong to the lower half of 4096 nodes, and to the last ones of 8192, and a chain
    // whose guests are in the upper half, and on growth move to those last ones.
    let owners = (0..2040).map(|at| with_sum(8191 * 2047 + 8190 - at, 0x4100_0000));
    let chain = (0..2500).map(|at| with_sum(7, 0x4000_0001 + at));
    let keys: Vec<_> = owners.chain(chain).collect();
    for (at, key) in keys.iter().enumerate() {
        subject.set(key, Some(at as i32));
    }
    let mut visits = 0;
    subject.walk(|key, at| {
        visits += 1;
        assert_eq!(key, keys[at as usize]);
    });
    assert_eq!(visits, keys.len());
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(subject.get(key), Some(at as i32));
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Key {
    Int(i32),
    /// The bits of a number that is no integer.
    Number(u64),
    Text(String),
    Bool(bool),
    Address(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Set(Key, i32),
    Remove(Key),
    /// Elements from 1 on.
    Fill(u8),
    /// All keys with even values, while they are walked.
    RemoveEven,
    Collect,
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => (1..40).prop_map(Key::Int),
        1 => any::<i32>().prop_map(Key::Int),
        1 => prop::sample::select(vec![0, -1, i32::MIN, i32::MAX, 1 << 26]).prop_map(Key::Int),
        1 => (0..40).prop_map(|half| Key::Number((f64::from(half) + 0.5).to_bits())),
        1 => prop::sample::select(vec![f64::INFINITY, 1e300, -3e9, 2_147_483_648.0])
            .prop_map(|number| Key::Number(number.to_bits())),
        4 => "[a-d]{0,3}".prop_map(Key::Text),
        1 => "[ab]{30,34}".prop_map(Key::Text),
        1 => any::<bool>().prop_map(Key::Bool),
        1 => (1..20usize).prop_map(|at| Key::Address(at * 64)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), any::<i32>()).prop_map(|(key, value)| Step::Set(key, value)),
        4 => key().prop_map(Step::Remove),
        1 => (0..70u8).prop_map(Step::Fill),
        1 => Just(Step::RemoveEven),
        1 => Just(Step::Collect),
    ]
}

/// A table at index 1 of a state's stack.
struct Subject(State);

impl Subject {
    fn push(&self, key: &Key) {
        let lua = self.0.lua();
        // SAFETY: the state is idle and has room.
        unsafe {
            match key {
                Key::Int(int) => lua_pushnumber(lua, f64::from(*int)),
                Key::Number(bits) => lua_pushnumber(lua, f64::from_bits(*bits)),
                Key::Text(text) => push_bytes(lua, text.as_bytes()),
                Key::Bool(bool) => lua_pushboolean(lua, (*bool).into()),
                Key::Address(at) => lua_pushlightuserdata(lua, *at as *mut c_void),
            }
        }
    }

    fn key_at(&self, index: c_int) -> Key {
        let lua = self.0.lua();
        // SAFETY: as `push`; a key that is a number stays one.
        unsafe {
            match lua_type(lua, index) {
                LUA_TNUMBER => {
                    let number = lua_tonumber(lua, index);
                    let int = number as i32;
                    if f64::from(int) == number {
                        Key::Int(int)
                    } else {
                        Key::Number(number.to_bits())
                    }
                }
                LUA_TSTRING => {
                    let text = CStr::from_ptr(lua_tolstring(lua, index, std::ptr::null_mut()));
                    Key::Text(text.to_string_lossy().into_owned())
                }
                LUA_TBOOLEAN => Key::Bool(lua_toboolean(lua, index) != 0),
                _ => Key::Address(lua_topointer(lua, index).addr()),
            }
        }
    }

    fn set(&self, key: &Key, value: Option<i32>) {
        let lua = self.0.lua();
        // SAFETY: as `push`; no key is nil or NaN.
        unsafe {
            if !matches!(key, Key::Int(_)) {
                self.push(key);
            }
            match value {
                Some(value) => lua_pushnumber(lua, f64::from(value)),
                None => lua_pushnil(lua),
            }
            match key {
                Key::Int(int) => lua_rawseti_(lua, 1, *int),
                _ => lua_rawset(lua, 1),
            }
        }
    }

    fn get(&self, key: &Key) -> Option<i32> {
        let lua = self.0.lua();
        self.push(key);
        // SAFETY: as `push`.
        unsafe {
            lua_rawget_(lua, 1);
            let value = (lua_type(lua, -1) == LUA_TNUMBER).then(|| lua_tonumber(lua, -1) as i32);
            lua_pop(lua, 1);
            value
        }
    }

    /// Calls `visit` with each key and value, which may remove them.
    fn walk(&self, mut visit: impl FnMut(Key, i32)) {
        let lua = self.0.lua();
        // SAFETY: as `push`; no key is added meanwhile.
        unsafe {
            lua_pushnil(lua);
            while lua_next(lua, 1) != 0 {
                let value = lua_tonumber(lua, -1) as i32;
                lua_pop(lua, 1);
                visit(self.key_at(-1), value);
            }
        }
    }

    fn apply(&self, step: &Step, model: &mut HashMap<Key, i32>) {
        match step {
            Step::Set(key, value) => {
                self.set(key, Some(*value));
                model.insert(key.clone(), *value);
            }
            Step::Remove(key) => {
                self.set(key, None);
                model.remove(key);
            }
            Step::Fill(len) => {
                for at in 1..=i32::from(*len) {
                    self.set(&Key::Int(at), Some(at));
                    model.insert(Key::Int(at), at);
                }
            }
            Step::RemoveEven => {
                self.walk(|key, value| {
                    if value % 2 == 0 {
                        self.set(&key, None);
                        model.remove(&key);
                    }
                });
            }
            // SAFETY: the state is idle.
            Step::Collect => unsafe {
                lua_gc(self.0.lua(), LUA_GCCOLLECT, 0);
            },
        }
    }
}

proptest! {
    #[test]
    fn tables_are_maps(
        sizes in (0..20, 0..20),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let subject = Subject(State::new());
        let lua = subject.0.lua();
        let mut model = HashMap::new();
        // SAFETY: the state is idle.
        unsafe { lua_createtable(lua, sizes.0, sizes.1) };
        for step in &steps {
            subject.apply(step, &mut model);
            if let Step::Set(key, _) | Step::Remove(key) = step {
                prop_assert_eq!(subject.get(key), model.get(key).copied());
            }
            // SAFETY: as above.
            let len = unsafe { lua_objlen(lua, 1) } as i32;
            prop_assert!(len == 0 || model.contains_key(&Key::Int(len)), "{} is no border", len);
            prop_assert!(!model.contains_key(&Key::Int(len + 1)), "{} is no border", len);
        }
        let mut walked = HashMap::new();
        let mut visits = 0;
        subject.walk(|key, value| {
            visits += 1;
            walked.insert(key, value);
        });
        prop_assert_eq!(visits, walked.len());
        for key in model.keys() {
            prop_assert_eq!(subject.get(key), model.get(key).copied());
        }
        prop_assert_eq!(walked, model);
    }
}
