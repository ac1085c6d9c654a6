//! Builds the Lua that this crate runs scripts in, and links it: stock Lua 5.1, or LuaJIT with the
//! feature `luajit`. `mlua-sys` would do it, but it chooses by features that exclude each other,
//! and knows nothing of LuaJIT's options.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(not(feature = "luajit"))]
    lua_src::Build::new().build(lua_src::Lua51).print_cargo_metadata();
    #[cfg(feature = "luajit")]
    build_luajit();
}

/// What LuaJIT is compiled with:
/// - `CHECKHOOK`: compiled code looks in every loop whether a hook was set, so it can be stopped;
/// - `DISABLE_FFI`: no literal of a C type (`1LL`) makes the library that calls C functions.
#[cfg(feature = "luajit")]
const OPTIONS: &str = "-DLUAJIT_ENABLE_CHECKHOOK -DLUAJIT_DISABLE_FFI";

#[cfg(feature = "luajit")]
fn build_luajit() {
    let flags = std::env::var("CFLAGS").unwrap_or_default();
    // `luajit-src` has no way to hand options in but the environment that its makefile reads.
    // SAFETY: a build script has one thread.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("CFLAGS", format!("{flags} {OPTIONS}"));
    }
    luajit_src::Build::new().build().print_cargo_metadata();
}
