//! Builds the Lua that this crate runs scripts in, and links it: stock Lua 5.1, or LuaJIT with the
//! feature `luajit`. `mlua-sys` would do it, but it chooses by features that exclude each other,
//! and knows nothing of LuaJIT's options.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(not(feature = "luajit"))]
    build_lua();
    #[cfg(feature = "luajit")]
    build_luajit();
}

/// Stock Lua. Where the Rust code may use SSE 4.1, so may Lua: its `%` then rounds with one
/// instruction instead of a call, and a loop of `sum + i % 7` takes a quarter less time.
#[cfg(not(feature = "luajit"))]
fn build_lua() {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "sse4.1") {
        add_flags("-msse4.1");
    }
    lua_src::Build::new().build(lua_src::Lua51).print_cargo_metadata();
}

/// Adds to what the C compiler is told by the environment, for lack of another way through the
/// crates that run it.
fn add_flags(more: &str) {
    let flags = std::env::var("CFLAGS").unwrap_or_default();
    // SAFETY: a build script has one thread.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("CFLAGS", format!("{flags} {more}"));
    }
}

/// What LuaJIT is compiled with:
/// - `CHECKHOOK`: compiled code looks in every loop whether a hook was set, so it can be stopped;
/// - `DISABLE_FFI`: no literal of a C type (`1LL`) makes the library that calls C functions.
#[cfg(feature = "luajit")]
const OPTIONS: &str = "-DLUAJIT_ENABLE_CHECKHOOK -DLUAJIT_DISABLE_FFI";

#[cfg(feature = "luajit")]
fn build_luajit() {
    add_flags(OPTIONS);
    luajit_src::Build::new().build().print_cargo_metadata();
}
