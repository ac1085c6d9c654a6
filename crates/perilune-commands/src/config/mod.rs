//! The configuration of a server: typed values, `CONFIG GET`/`SET`/`REWRITE`, and the file syntax.
//!
//! [`Config`] has one field per parameter; `table` describes each parameter in one row, and every
//! other part of this module works from that table. A change is made on a copy and committed only
//! when all of it is valid, so a `Config` never holds half a change.
//!
//! The module does no I/O: files that a text includes come in through a closure, and effects of a
//! change (a new port, another directory) are up to the caller, who learns from
//! [`Config::set_many`] which parameters changed.

mod check;
mod error;
mod file;
mod limits;
mod number;
mod quote;
mod rewrite;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use error::{ConfigError, ConfigFileError, Reason};
pub use file::{Include, Loader, parse_config};
pub(crate) use number::memory_bytes;
pub use quote::quoted;
pub use table::{Config, ParamFlags, ParamId};
pub use values::{
    AclPubsubDefault, AppendFsync, BindAddresses, BufferLimit, Choice, EndpointType, LogLevel,
    MaxmemoryPolicy, NotifyFlags, OomScoreAdj, OomScoreAdjValues, OutputBufferLimits, Percentiles,
    PropagationErrorBehavior, ProtectedAction, ReplDisklessLoad, ReplicaOf, SanitizeDumpPayload,
    SavePoint, ShutdownFlags, Supervised, SyslogFacility, TlsAuthClients,
};

use crate::glob;
use table::{Kind, PARAMS, Param};
use values::Origin;

/// Bounds of `hz`: values outside are taken as the nearest one.
const HZ_BOUNDS: (u32, u32) = (1, 500);

/// A smaller `repl-backlog-size` is taken as this.
const REPL_BACKLOG_BYTES_MIN: u64 = 16 * 1024;

/// What a `CONFIG SET` has to know about its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct SetContext {
    /// The client connected from this machine.
    pub local_client: bool,
    /// The data set is being loaded.
    pub loading: bool,
}

/// Every name and alias, with the parameter it stands for.
static NAMES: LazyLock<HashMap<&'static str, ParamId>> = LazyLock::new(|| {
    let names = |param: &'static Param| param.alias.into_iter().chain([param.name]);
    PARAMS.iter().flat_map(|param| names(param).map(|name| (name, param.id))).collect()
});

/// The parameter with this name or alias (in any case), and the name as the table spells it.
fn lookup(name: &[u8]) -> Option<(&'static str, ParamId)> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    NAMES.get_key_value(name.as_str()).map(|(name, id)| (*name, *id))
}

impl ParamId {
    fn param(self) -> &'static Param {
        &PARAMS[self as usize]
    }

    /// The parameter with this name or alias, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        lookup(name).map(|(_, id)| id)
    }

    /// Its primary name.
    pub fn name(self) -> &'static str {
        self.param().name
    }

    /// Its old name, where it has one.
    pub fn alias(self) -> Option<&'static str> {
        self.param().alias
    }

    /// Its properties.
    pub fn flags(self) -> ParamFlags {
        self.param().flags
    }

    /// Every parameter.
    pub fn all() -> impl Iterator<Item = Self> {
        PARAMS.iter().map(|param| param.id)
    }
}

impl Config {
    /// The value of a parameter as `CONFIG GET` prints it.
    pub fn get(&self, id: ParamId) -> Vec<u8> {
        match &id.param().kind {
            Kind::YesNo { get, .. } => if get(self) { "yes" } else { "no" }.into(),
            Kind::Number { format, get, .. } => format.text(get(self)).into_bytes(),
            Kind::Text { get, .. } => get(self).to_vec(),
            Kind::Choice { get, .. } => get(self).into(),
            Kind::Special { get, .. } => get(self),
        }
    }

    /// The value of the parameter with this name or alias.
    pub fn get_by_name(&self, name: &[u8]) -> Option<Vec<u8>> {
        ParamId::from_name(name).map(|id| self.get(id))
    }

    /// Every parameter whose name or alias matches a `CONFIG GET` pattern, with its value.
    ///
    /// A pattern without wildcards is a name; it is answered as it was spelled and also finds hidden
    /// parameters.
    pub fn matching(&self, pattern: &[u8]) -> Vec<(String, Vec<u8>)> {
        self.matching_any(&[pattern])
    }

    /// Like [`Config::matching`] for several patterns; nothing is listed twice.
    pub fn matching_any<P: AsRef<[u8]>>(&self, patterns: &[P]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: &str, id: ParamId| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_owned(), self.get(id)));
            }
        };
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if !pattern.iter().any(|byte| matches!(byte, b'[' | b'*' | b'?')) {
                if let Some((_, id)) = lookup(pattern) {
                    add(&String::from_utf8_lossy(pattern), id);
                }
                continue;
            }
            for param in PARAMS.iter().filter(|param| !param.flags.contains(ParamFlags::HIDDEN)) {
                for name in [Some(param.name), param.alias].into_iter().flatten() {
                    if glob::matches(pattern, name.as_bytes(), true) {
                        add(name, param.id);
                    }
                }
            }
        }
        found
    }

    /// Sets one parameter as `CONFIG SET` from a trusted local client would, at any time.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), ConfigError> {
        let (name, id) = lookup(name.as_bytes()).ok_or(ConfigError::Unknown(name.to_owned()))?;
        let mut next = self.clone();
        next.assign_value(id, value).map_err(|reason| ConfigError::refused(name, reason))?;
        next.settle().map_err(|(_, reason)| ConfigError::refused(name, reason))?;
        *self = next;
        Ok(())
    }

    /// `CONFIG SET`: changes all the named parameters or none, and tells which really changed.
    ///
    /// Putting changes into effect is up to the caller. When that fails, the caller goes back to the
    /// copy it made before and answers [`ConfigError::refused`].
    pub fn set_many<N, V>(
        &mut self,
        pairs: &[(N, V)],
        context: SetContext,
    ) -> Result<Vec<ParamId>, ConfigError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let ids = self.settable(pairs, context)?;
        let mut next = self.clone();
        for (&(name, id), (_, value)) in ids.iter().zip(pairs) {
            next.assign_value(id, value.as_ref())
                .map_err(|reason| ConfigError::refused(name, reason))?;
        }
        next.settle().map_err(|(id, reason)| {
            let named = ids.iter().find(|(_, set)| *set == id).or(ids.first());
            ConfigError::refused(named.map_or(id.name(), |(name, _)| name), reason)
        })?;
        let mut changed: Vec<ParamId> = Vec::new();
        for (_, id) in ids {
            if !changed.contains(&id) && self.get(id) != next.get(id) {
                changed.push(id);
            }
        }
        *self = next;
        Ok(changed)
    }

    /// Looks all names up and checks that each may be set now, and only once.
    fn settable<N: AsRef<[u8]>, V>(
        &self,
        pairs: &[(N, V)],
        context: SetContext,
    ) -> Result<Vec<(&'static str, ParamId)>, ConfigError> {
        let mut ids: Vec<(&'static str, ParamId)> = Vec::with_capacity(pairs.len());
        for (given, _) in pairs {
            let given = given.as_ref();
            let spelled = crate::errors::shown(given);
            let Some((name, id)) = lookup(given) else {
                return Err(ConfigError::Unknown(spelled.into_owned()));
            };
            let refused = |reason| Err(ConfigError::refused(spelled.clone(), reason));
            let flags = id.flags();
            if flags.contains(ParamFlags::IMMUTABLE) {
                return refused(error::IMMUTABLE);
            }
            if flags.contains(ParamFlags::PROTECTED)
                && !self.enable_protected_configs.allows(context.local_client)
            {
                return refused(error::PROTECTED);
            }
            if context.loading && flags.contains(ParamFlags::DENY_LOADING) {
                return Err(ConfigError::Loading);
            }
            // A parameter and its alias may both be named: the later one wins.
            if ids.iter().any(|(known, _)| *known == name) {
                return refused(error::DUPLICATE);
            }
            ids.push((name, id));
        }
        Ok(ids)
    }

    /// Assigns one `CONFIG SET` value; words are separated by single blanks.
    fn assign_value(&mut self, id: ParamId, value: &[u8]) -> Result<(), Reason> {
        if !id.flags().contains(ParamFlags::MULTI_ARG) {
            return self.assign(id, &[value], Origin::Runtime);
        }
        let words: Vec<&[u8]> =
            if value.is_empty() { Vec::new() } else { value.split(|byte| *byte == b' ').collect() };
        self.assign(id, &words, Origin::Runtime)
    }

    /// Assigns a value given as words. After an error the parameter's value is unspecified.
    fn assign(&mut self, id: ParamId, args: &[&[u8]], origin: Origin) -> Result<(), Reason> {
        let param = id.param();
        if let Kind::Special { set, .. } = &param.kind {
            set(self, args, origin)?;
        } else {
            let [value] = args else { return Err(error::WRONG_NUMBER.into()) };
            self.assign_single(&param.kind, value)?;
        }
        match &param.only {
            Some(only) if !only.allows(id, &self.get(id)) => Err(only.reason.into()),
            _ => Ok(()),
        }
    }

    fn assign_single(&mut self, kind: &Kind, value: &[u8]) -> Result<(), Reason> {
        match kind {
            Kind::YesNo { set, .. } => match value.to_ascii_lowercase().as_slice() {
                b"yes" => set(self, true),
                b"no" => set(self, false),
                _ => return Err(error::YES_OR_NO.into()),
            },
            Kind::Number { bounds, format, set, .. } => {
                let number = format.parse(value)?;
                format.check(number, *bounds)?;
                set(self, number);
            }
            Kind::Text { check, set, .. } => {
                check(value)?;
                set(self, value)?;
            }
            Kind::Choice { set, .. } => set(self, value)?,
            Kind::Special { set, .. } => set(self, &[value], Origin::Runtime)?,
        }
        Ok(())
    }

    /// Brings parameters that depend on each other in order, or names the one that cannot be.
    fn settle(&mut self) -> Result<(), (ParamId, Reason)> {
        self.hz = self.hz.clamp(HZ_BOUNDS.0, HZ_BOUNDS.1);
        self.repl_backlog_size = self.repl_backlog_size.max(REPL_BACKLOG_BYTES_MIN);
        if self.io_threads > 1 && !self.io_threads_do_reads {
            return Err((ParamId::io_threads_do_reads, error::THREADS_READ.into()));
        }
        Ok(())
    }
}
