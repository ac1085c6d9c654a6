//! A walk through a syntax tree that knows which names are local: [`Scopes`].
//!
//! A variable is visible from the statement behind its declaration to the end of its block. Beside
//! its name it remembers whether it is another name for a function of the `redis` table, as in
//! `local call = redis.call`.

use crate::syntax::{Expression, Kind, Suffix};

/// Names of the table with the API.
const API_TABLES: [&str; 2] = ["redis", "server"];

struct Variable {
    name: String,
    /// The function of the API that it stands for.
    api: Option<String>,
}

/// The local variables that are visible.
#[derive(Default)]
pub(crate) struct Scopes {
    variables: Vec<Variable>,
}

/// The beginning of a scope.
#[must_use]
pub(crate) struct Mark(usize);

impl Scopes {
    /// Opens a scope.
    pub(crate) fn open(&self) -> Mark {
        Mark(self.variables.len())
    }

    /// Closes the scope that was opened there.
    pub(crate) fn close(&mut self, mark: Mark) {
        self.variables.truncate(mark.0);
    }

    /// Declares a variable that stands for what `api` says.
    pub(crate) fn declare(&mut self, name: &str, api: Option<String>) {
        self.variables.push(Variable { name: name.to_owned(), api });
    }

    /// Whether the name is a local variable's.
    pub(crate) fn is_local(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable.name == name)
    }

    /// Whether the expression is the table with the API.
    pub(crate) fn is_api_table(&self, expression: &Expression) -> bool {
        let Kind::Name(name) = &expression.kind else { return false };
        API_TABLES.contains(&name.as_str()) && !self.is_local(name)
    }

    /// The function of the API that the expression stands for.
    pub(crate) fn api_of(&self, expression: &Expression) -> Option<String> {
        match &expression.kind {
            Kind::Name(name) => {
                let variable = self.variables.iter().rev().find(|one| one.name == *name)?;
                variable.api.clone()
            }
            Kind::Suffixed(base, suffixes) => match suffixes.as_slice() {
                [Suffix::Field(field)] if self.is_api_table(base) => Some(field.text.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The function of the API that a suffixed expression calls first, with its arguments.
    pub(crate) fn api_call<'e>(
        &self,
        base: &Expression,
        suffixes: &'e [Suffix],
    ) -> Option<(String, &'e [Expression])> {
        match suffixes {
            [Suffix::Field(field), Suffix::Call(arguments), ..] if self.is_api_table(base) => {
                Some((field.text.clone(), arguments))
            }
            [Suffix::Call(arguments), ..] => Some((self.api_of(base)?, arguments)),
            _ => None,
        }
    }
}
