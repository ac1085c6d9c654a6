//! The debugging seam: [`Debugger`], what an engine tells it, and [`DebugFrame`], what it may ask
//! of a program that stands still.
//!
//! An engine that can be debugged calls its debugger before each line of the program, on the
//! thread that runs it; as long as that call lasts the program stands still. A debugger is used
//! through shared references: it may have code evaluated in a frame, and that code may call the
//! debugger again.
//!
//! Values come as copies ([`DebugValue`]), cut where they are deep or large, so that a debugger
//! knows no language and cannot keep anything of the program alive.

use crate::host::ScriptHost;

/// Deepest nesting of tables that a [`DebugValue`] shows.
pub const DEBUG_DEPTH_MAX: usize = 10;

/// Most values that one [`DebugValue`] is made of.
pub const DEBUG_VALUES_MAX: usize = 20_000;

/// What becomes of a program that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// It ends with this error text (code first), whatever it does about errors.
    Abort(&'static str),
}

/// A copy of a value of the program.
#[derive(Debug, Clone, PartialEq)]
pub enum DebugValue {
    /// No value.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Vec<u8>),
    /// A table: keys and values in the order the language gives them.
    Table(Vec<(DebugValue, DebugValue)>),
    /// Something without contents to show.
    Opaque {
        /// What it is: `function`.
        kind: &'static str,
        /// Tells it from others of its kind.
        address: usize,
    },
    /// Stands for what is nested deeper than [`DEBUG_DEPTH_MAX`].
    TooDeep,
    /// Stands for what is beyond [`DEBUG_VALUES_MAX`]; as a key, for the rest of a table.
    TooMany,
}

/// One level of the call stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackLevel {
    /// Name of the function, where the language knows one.
    pub name: Option<String>,
    /// The line it stands at.
    pub line: u32,
}

/// A program that stands still before one of its lines.
pub trait DebugFrame {
    /// The line that runs next, from 1.
    fn line(&self) -> u32;

    /// The named variables of a function, in the order they were declared. Levels are counted as
    /// in [`stack`](Self::stack), from 0; beyond the last there is nothing.
    fn locals(&mut self, level: usize) -> Vec<(String, DebugValue)>;

    /// The variable of that name in the innermost function that has one; or the global that
    /// holds the keys or arguments.
    fn variable(&mut self, name: &str) -> Option<DebugValue>;

    /// The functions of the program that are being called, innermost first.
    fn stack(&mut self) -> Vec<StackLevel>;

    /// Runs code of the language outside of any function of the program and answers its value, or
    /// an error message.
    fn evaluate(&mut self, code: &[u8]) -> Result<DebugValue, Vec<u8>>;

    /// Runs code that sees the variables of the function of a level. What it assigns to them is
    /// lost.
    fn evaluate_in(&mut self, level: usize, code: &[u8]) -> Result<DebugValue, Vec<u8>>;

    /// Gives a variable of the function of a level the value of an expression, and answers it.
    fn assign(&mut self, level: usize, name: &str, code: &[u8]) -> Result<DebugValue, Vec<u8>>;

    /// The server, to run a command or to ask whether the program must end.
    fn host(&mut self) -> &mut dyn ScriptHost;
}

/// Decides where a program stands still, and what happens meanwhile.
pub trait Debugger {
    /// The program is about to run another line.
    fn on_line(&self, frame: &mut dyn DebugFrame) -> Verdict;

    /// The program has been running for a while. Called now and then, also within a line.
    fn on_tick(&self, frame: &mut dyn DebugFrame) -> Verdict;

    /// The program asks to stand still before its next line (`redis.breakpoint`).
    fn on_breakpoint(&self);

    /// The program has something to say (`redis.debug`).
    fn on_print(&self, values: &[DebugValue]);

    /// A call of the API failed with this message: one that starts with `-` begins with its code.
    /// Errors of commands are not told, the host knows them.
    fn on_error(&self, message: &[u8]);
}
