//! What is known of the hashes of strings, and that nobody can choose them.

use std::collections::{HashMap, HashSet};

use mlua::ffi::{
    LUA_GCCOLLECT, lua_createtable, lua_gc, lua_pushnil, lua_rawseti, lua_settop, lua_tolstring,
};

use super::{CHAIN_MAX, FAMILIAR_BYTES, hash_familiar};
use crate::raise::push_bytes;
use crate::state::State;
use crate::vm::puc::layout::LuaString;

/// Pushes a string and answers where it is.
fn pushed(state: &State, bytes: &[u8]) -> *const LuaString {
    let mut len = 0;
    // SAFETY: the state is idle and has room; the string lies on its stack while it is looked at.
    unsafe {
        push_bytes(state.lua(), bytes);
        let start = lua_tolstring(state.lua(), -1, &mut len);
        assert_eq!(std::slice::from_raw_parts(start.cast::<u8>(), len), bytes);
        start.cast::<LuaString>().sub(1)
    }
}

fn hash_in_lua(state: &State, bytes: &[u8]) -> u32 {
    // SAFETY: as above.
    unsafe {
        let hash = (*pushed(state, bytes)).hash;
        lua_settop(state.lua(), 0);
        hash
    }
}

/// Two pieces of three letters that lead from one state of Lua's hash to the same next one.
fn colliding_pieces(state: u32) -> ([u8; 3], [u8; 3], u32) {
    let mut seen = HashMap::new();
    for a in b' '..=b'~' {
        for b in b' '..=b'~' {
            for c in b' '..=b'~' {
                let piece = [a, b, c];
                // Lua begins at the end of a string, with its length.
                let end = piece.iter().rev().fold(state, |hash, &byte| {
                    hash ^ (hash << 5).wrapping_add(hash >> 2).wrapping_add(byte.into())
                });
                if let Some(other) = seen.insert(end, piece) {
                    return (piece, other, end);
                }
            }
        }
    }
    unreachable!("800000 pieces and four thousand million states: one in a hundred pairs collides");
}

/// 1024 strings of 30 bytes with one hash.
fn colliding() -> Vec<Vec<u8>> {
    let mut strings = vec![Vec::new()];
    let mut state = 30;
    for _ in 0..10 {
        let (one, other, end) = colliding_pieces(state);
        state = end;
        let both = |rest: &Vec<u8>| [one, other].map(|piece| [&piece, rest.as_slice()].concat());
        strings = strings.iter().flat_map(both).collect();
    }
    let hashes: HashSet<u32> = strings.iter().map(|string| hash_familiar(string)).collect();
    assert_eq!((strings.len(), hashes.len()), (1024, 1));
    strings
}

#[test]
fn every_byte_of_a_long_string_counts() {
    let state = State::new();
    for len in [FAMILIAR_BYTES + 1, 80, 100, 1000] {
        let mut hashes = HashSet::new();
        for at in 0..len {
            let mut bytes = vec![b'x'; len];
            bytes[at] = b'y';
            hashes.insert(hash_in_lua(&state, &bytes));
        }
        assert!(hashes.len() + 3 > len, "{} hashes of {len} strings", hashes.len());
    }
}

#[test]
fn short_strings_have_the_hash_that_redis_gives_them() {
    let state = State::new();
    assert_eq!(hash_familiar(b""), 0);
    assert_eq!(hash_familiar(b"a"), 1 ^ (32 + 97));
    for text in [&b""[..], b"a", b"2c26b46b-68ff-4c68-8f99-453c1d304134", &[7; FAMILIAR_BYTES]] {
        assert_eq!(hash_in_lua(&state, text), hash_familiar(text));
    }
}

#[test]
fn strings_that_were_chosen_to_collide_do_not() {
    let state = State::new();
    let strings = colliding();
    let mut hashes: HashMap<u32, usize> = HashMap::new();
    // SAFETY: the state is idle; the table keeps the strings.
    let places: Vec<_> = unsafe {
        lua_createtable(state.lua(), 0, 0);
        let places = strings.iter().zip(1..).map(|(string, at)| {
            let place = pushed(&state, string);
            *hashes.entry((*place).hash).or_default() += 1;
            lua_rawseti(state.lua(), 1, at);
            place
        });
        places.collect()
    };
    assert!(hashes.values().all(|&count| count <= CHAIN_MAX + 1), "{hashes:?}");
    assert!(hashes.len() > strings.len() - 2 * CHAIN_MAX);
    // Those in the chain go; the others are still the only ones of their bytes.
    let chained = hash_familiar(&strings[0]);
    // SAFETY: as above.
    unsafe {
        for (at, place) in (1..).zip(&places) {
            if (**place).hash == chained {
                lua_pushnil(state.lua());
                lua_rawseti(state.lua(), 1, at);
            }
        }
        lua_gc(state.lua(), LUA_GCCOLLECT, 0);
        lua_gc(state.lua(), LUA_GCCOLLECT, 0);
        for (string, &place) in strings.iter().zip(&places).skip(CHAIN_MAX + 1) {
            assert_eq!(pushed(&state, string), place);
            lua_settop(state.lua(), 1);
        }
        assert_eq!((*pushed(&state, &strings[0])).hash, chained, "there is room again");
        lua_settop(state.lua(), 0);
    }
}

#[test]
fn ordinary_strings_stay_below_the_bound() {
    const COUNT: u32 = 1 << 16;
    let kinds: [fn(u32) -> String; 6] = [
        |n| format!("{n}"),
        |n| format!("key:{n:012}"),
        |n| format!("user:{n}:session"),
        |n| format!("{:08x}-68ff-4c68-8f99-453c1d304134", n.wrapping_mul(0x9E37_79B9)),
        |n| format!("{}.{n}", n * 1000),
        |n| "x".repeat(n as usize % 60) + &n.to_string(),
    ];
    for kind in kinds {
        let mut chains: HashMap<u32, usize> = HashMap::new();
        for n in 0..COUNT {
            *chains.entry(hash_familiar(kind(n).as_bytes()) % COUNT).or_default() += 1;
        }
        let longest = chains.values().max().copied().unwrap_or_default();
        assert!(longest < CHAIN_MAX / 2, "{longest} like {}", kind(1));
    }
}
