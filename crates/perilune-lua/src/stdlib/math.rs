//! The `math` library, with Redis' random numbers.
//!
//! `random` is the 48 bit linear congruential generator of POSIX' `lrand48`, so that a script
//! sees the same sequence on every machine. Its state belongs to the Lua state; scripts start
//! from seed zero.

use std::f64::consts::PI;
use std::ffi::c_int;

use mlua::ffi::*;

use super::args::{check_int, check_number};
use super::{State, push_library};
use crate::interrupt::{context, tick};
use crate::raise::{LuaError, native};

/// Low 16 bits of a seeded generator.
const SEED_LOW: u64 = 0x330E;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const STATE_MASK: u64 = (1 << 48) - 1;
/// `random` divides by this.
const RANDOM_MAX: u64 = 0x7FFF_FFFF;

/// The generator before anybody seeded it.
pub(super) fn random_start() -> u64 {
    0x1234_ABCD_330E
}

/// The generator after seeding.
pub(super) fn random_seeded(seed: i32) -> u64 {
    u64::from(seed as u32) << 16 | SEED_LOW
}

fn random_step(state: u64) -> u64 {
    state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & STATE_MASK
}

unsafe fn random(lua: State) -> Result<c_int, LuaError> {
    let libs = &context(lua).libs;
    libs.random.set(random_step(libs.random.get()));
    let drawn = libs.random.get() >> 17;
    let part = (drawn % RANDOM_MAX) as f64 / RANDOM_MAX as f64;
    let result = match lua_gettop(lua) {
        0 => part,
        1 => {
            let high = check_int(lua, 1)?;
            if high < 1 {
                return Err(LuaError::arg(1, "interval is empty"));
            }
            (part * f64::from(high)).floor() + 1.0
        }
        2 => {
            let (low, high) = (check_int(lua, 1)?, check_int(lua, 2)?);
            if low > high {
                return Err(LuaError::arg(2, "interval is empty"));
            }
            let width = high.wrapping_sub(low).wrapping_add(1);
            (part * f64::from(width)).floor() + f64::from(low)
        }
        _ => return Err(LuaError::msg("wrong number of arguments")),
    };
    lua_pushnumber(lua, result);
    Ok(1)
}

unsafe fn randomseed(lua: State) -> Result<c_int, LuaError> {
    let seed = check_int(lua, 1)?;
    let libs = &context(lua).libs;
    if libs.random_unseeded.get().is_none() {
        libs.random_unseeded.set(Some(libs.random.get()));
    }
    libs.random.set(random_seeded(seed));
    Ok(0)
}

unsafe fn unary(lua: State, function: fn(f64) -> f64) -> Result<c_int, LuaError> {
    lua_pushnumber(lua, function(check_number(lua, 1)?));
    Ok(1)
}

unsafe fn binary(lua: State, function: fn(f64, f64) -> f64) -> Result<c_int, LuaError> {
    // The order in which arguments are checked shows in errors.
    let b = check_number(lua, 2)?;
    let a = check_number(lua, 1)?;
    lua_pushnumber(lua, function(a, b));
    Ok(1)
}

/// The best of all arguments; a NaN never replaces what is there.
unsafe fn best(lua: State, is_better: fn(f64, f64) -> bool) -> Result<c_int, LuaError> {
    let mut best = check_number(lua, 1)?;
    let count = lua_gettop(lua);
    tick(lua, count as u64)?;
    for index in 2..=count {
        let number = check_number(lua, index)?;
        if is_better(number, best) {
            best = number;
        }
    }
    lua_pushnumber(lua, best);
    Ok(1)
}

unsafe fn modf(lua: State) -> Result<c_int, LuaError> {
    let number = check_number(lua, 1)?;
    let fraction = match number.is_infinite() {
        true => 0.0,
        false => number - number.trunc(),
    };
    lua_pushnumber(lua, number.trunc());
    lua_pushnumber(lua, fraction.copysign(number));
    Ok(2)
}

unsafe fn frexp(lua: State) -> Result<c_int, LuaError> {
    let (mantissa, exponent) = split(check_number(lua, 1)?);
    lua_pushnumber(lua, mantissa);
    lua_pushinteger(lua, exponent.into());
    Ok(2)
}

unsafe fn ldexp(lua: State) -> Result<c_int, LuaError> {
    let exponent = check_int(lua, 2)?;
    let mantissa = check_number(lua, 1)?;
    lua_pushnumber(lua, scale(mantissa, exponent));
    Ok(1)
}

const EXPONENT_BITS: u64 = 0x7FF;

/// Mantissa in [0.5, 1) and exponent of two.
fn split(number: f64) -> (f64, i32) {
    if number == 0.0 || !number.is_finite() {
        return (number, 0);
    }
    let biased = |number: f64| (number.to_bits() >> 52 & EXPONENT_BITS) as i32;
    let (number, shifted) = match biased(number) {
        0 => (number * 2f64.powi(64), 64),
        _ => (number, 0),
    };
    let bits = number.to_bits() & !(EXPONENT_BITS << 52) | 1022 << 52;
    (f64::from_bits(bits), biased(number) - 1022 - shifted)
}

/// `number * 2^exponent`, rounded once.
fn scale(number: f64, exponent: i32) -> f64 {
    let (mantissa, own) = split(number);
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let exponent = own.saturating_add(exponent);
    match exponent {
        1025.. => f64::INFINITY.copysign(number),
        -1021.. => mantissa * 2.0 * 2f64.powi(exponent - 1),
        // Below the normal range the last multiplication does the only rounding.
        -1080.. => mantissa * 2f64.powi(exponent + 1000) * 2f64.powi(-1000),
        _ => 0f64.copysign(number),
    }
}

macro_rules! functions {
    ($($c_name:ident $name:ident $shape:ident $function:expr;)*) => {
        $(
            unsafe fn $name(lua: State) -> Result<c_int, LuaError> {
                $shape(lua, $function)
            }
            native!($c_name, $name);
        )*
    };
}

functions! {
    c_abs abs unary f64::abs;
    c_acos acos unary f64::acos;
    c_asin asin unary f64::asin;
    c_atan atan unary f64::atan;
    c_atan2 atan2 binary f64::atan2;
    c_ceil ceil unary f64::ceil;
    c_cos cos unary f64::cos;
    c_cosh cosh unary f64::cosh;
    c_deg deg unary |number| number / (PI / 180.0);
    c_exp exp unary f64::exp;
    c_floor floor unary f64::floor;
    c_fmod fmod binary |a, b| a % b;
    c_log log unary f64::ln;
    c_log10 log10 unary f64::log10;
    c_max max best |number, best| number > best;
    c_min min best |number, best| number < best;
    c_pow pow binary f64::powf;
    c_rad rad unary |number| number * (PI / 180.0);
    c_sin sin unary f64::sin;
    c_sinh sinh unary f64::sinh;
    c_sqrt sqrt unary f64::sqrt;
    c_tan tan unary f64::tan;
    c_tanh tanh unary f64::tanh;
}

native!(c_frexp, frexp);
native!(c_ldexp, ldexp);
native!(c_modf, modf);
native!(c_random, random);
native!(c_randomseed, randomseed);

/// Sets the global `math`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_math(lua: *mut lua_State) {
    push_library(
        lua,
        &[
            (c"abs", c_abs),
            (c"acos", c_acos),
            (c"asin", c_asin),
            (c"atan", c_atan),
            (c"atan2", c_atan2),
            (c"ceil", c_ceil),
            (c"cos", c_cos),
            (c"cosh", c_cosh),
            (c"deg", c_deg),
            (c"exp", c_exp),
            (c"floor", c_floor),
            (c"fmod", c_fmod),
            (c"frexp", c_frexp),
            (c"ldexp", c_ldexp),
            (c"log", c_log),
            (c"log10", c_log10),
            (c"max", c_max),
            (c"min", c_min),
            (c"modf", c_modf),
            (c"pow", c_pow),
            (c"rad", c_rad),
            (c"random", c_random),
            (c"randomseed", c_randomseed),
            (c"sin", c_sin),
            (c"sinh", c_sinh),
            (c"sqrt", c_sqrt),
            (c"tan", c_tan),
            (c"tanh", c_tanh),
        ],
    );
    lua_getfield_(lua, -1, c"fmod".as_ptr());
    lua_setfield(lua, -2, c"mod".as_ptr());
    lua_pushnumber(lua, PI);
    lua_setfield(lua, -2, c"pi".as_ptr());
    lua_pushnumber(lua, f64::INFINITY);
    lua_setfield(lua, -2, c"huge".as_ptr());
    lua_setglobal(lua, c"math".as_ptr());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn split_and_scale_are_inverse(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let (mantissa, exponent) = split(number);
            prop_assert!(number == 0.0 || (0.5..1.0).contains(&mantissa.abs()));
            prop_assert_eq!(scale(mantissa, exponent).to_bits(), bits);
        }
    }

    #[test]
    fn scaling_saturates_at_both_ends() {
        assert_eq!(scale(1.0, 1023), 2f64.powi(1023));
        assert_eq!(scale(1.0, 1024), f64::INFINITY);
        assert_eq!(scale(-1.0, i32::MAX), f64::NEG_INFINITY);
        assert_eq!(scale(1.0, -1074), f64::from_bits(1));
        assert_eq!(scale(1.0, i32::MIN), 0.0);
    }
}
