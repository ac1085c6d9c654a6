//! The types of configuration values: enumerations, and the parameters with a syntax of their own.

use std::path::{Component, Path, PathBuf};

use bitflags::bitflags;

use super::error::{self, Reason};
use super::number::{memory_bytes, strtoll};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `CONFIG SET`: a value replaces the old one.
    Runtime,
    /// A configuration text: parameters that may be repeated add up.
    Text,
}

/// A parameter with a fixed set of words.
pub trait Choice: Copy + PartialEq + 'static {
    /// The words in the order error messages list them; the first word of a value is printed.
    const WORDS: &'static [(&'static str, Self)];

    /// The value a word (in any case) stands for.
    fn from_word(word: &[u8]) -> Option<Self> {
        let known = Self::WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        known.map(|&(_, value)| value)
    }

    /// The word that is printed for this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("unknown", |(name, _)| name)
    }
}

/// The error for a word outside the set.
pub(super) fn not_a_choice<'a>(words: impl Iterator<Item = &'a str>) -> Reason {
    let words: Vec<&str> = words.collect();
    format!("argument(s) must be one of the following: {}", words.join(", ")).into()
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($word:literal => $variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = concat!("`", $word, "`")] $variant,)+ }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }
    )+};
}

choices! {
    /// What is evicted when the memory limit is reached.
    MaxmemoryPolicy {
        "volatile-lru" => VolatileLru, "volatile-lfu" => VolatileLfu,
        "volatile-random" => VolatileRandom, "volatile-ttl" => VolatileTtl,
        "allkeys-lru" => AllKeysLru, "allkeys-lfu" => AllKeysLfu,
        "allkeys-random" => AllKeysRandom, "noeviction" => NoEviction,
    }
    /// The facility of log lines sent to syslog.
    SyslogFacility {
        "user" => User, "local0" => Local0, "local1" => Local1, "local2" => Local2,
        "local3" => Local3, "local4" => Local4, "local5" => Local5, "local6" => Local6,
        "local7" => Local7,
    }
    /// The least important log lines that are written.
    LogLevel {
        "debug" => Debug, "verbose" => Verbose, "notice" => Notice, "warning" => Warning,
        "nothing" => Nothing,
    }
    /// Which service manager supervises the server.
    Supervised { "upstart" => Upstart, "systemd" => Systemd, "auto" => Auto, "no" => No }
    /// When the append-only file is flushed to disk.
    AppendFsync { "everysec" => Everysec, "always" => Always, "no" => No }
    /// Whether a replica loads a snapshot straight from the socket.
    ReplDisklessLoad {
        "disabled" => Disabled, "on-empty-db" => OnEmptyDb, "swapdb" => SwapDb,
    }
    /// Whether TLS clients have to present a certificate.
    TlsAuthClients { "no" => No, "yes" => Yes, "optional" => Optional }
    /// The channels a new ACL user may reach.
    AclPubsubDefault { "allchannels" => AllChannels, "resetchannels" => ResetChannels }
    /// Who gets deep integrity checks of `RESTORE` payloads.
    SanitizeDumpPayload { "no" => No, "yes" => Yes, "clients" => Clients }
    /// Who may use something dangerous.
    ProtectedAction { "no" => No, "yes" => Yes, "local" => Local }
    /// What a cluster node calls itself towards clients.
    EndpointType { "ip" => Ip, "hostname" => Hostname, "unknown-endpoint" => UnknownEndpoint }
    /// What happens when a replicated command fails.
    PropagationErrorBehavior {
        "ignore" => Ignore, "panic" => Panic, "panic-on-replicas" => PanicOnReplicas,
    }
}

/// How the OOM killer's score of the process is adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OomScoreAdj {
    /// Left alone.
    No,
    /// Relative to the score at start.
    Relative,
    /// Set to the given values.
    Absolute,
}

impl Choice for OomScoreAdj {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("no", Self::No),
        ("yes", Self::Relative),
        ("relative", Self::Relative),
        ("absolute", Self::Absolute),
    ];
}

impl ProtectedAction {
    /// Whether a client may act; `local` says that it connected from this machine.
    pub fn allows(self, local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => local,
        }
    }
}

/// A parameter with its own syntax.
///
/// `assign` either takes the whole value or refuses it; after a refusal the value is unspecified,
/// because callers work on a copy.
pub(super) trait Special: Sized {
    fn assign(&mut self, args: &[&[u8]], origin: Origin) -> Result<(), Reason>;

    /// The value as `CONFIG GET` prints it.
    fn text(&self) -> Vec<u8>;

    /// The arguments of each line that `CONFIG REWRITE` writes, with whether the line must be
    /// written even when the old file did not mention the parameter.
    fn lines(&self, default: &Self) -> Vec<(String, bool)>;
}

/// Whether `args` is the single empty argument that stands for "none".
fn is_none(args: &[&[u8]]) -> bool {
    matches!(args, [only] if only.is_empty())
}

fn words(args: &[&[u8]]) -> Result<Vec<String>, Reason> {
    let word = |arg: &&[u8]| {
        std::str::from_utf8(arg).map(str::to_owned).map_err(|_| Reason::from(error::NOT_UTF8))
    };
    args.iter().map(word).collect()
}

/// A folder. Once it is known where the server is, another one is named as seen from there.
impl Special for String {
    fn assign(&mut self, args: &[&[u8]], origin: Origin) -> Result<(), Reason> {
        let [only] = args else { return Err(error::WRONG_NUMBER.into()) };
        let folder = std::str::from_utf8(only).map_err(|_| error::NOT_UTF8)?;
        *self = match origin {
            Origin::Runtime if self.starts_with('/') => below(self, folder),
            _ => folder.to_owned(),
        };
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.clone().into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        if self.is_empty() {
            return Vec::new();
        }
        vec![(super::quote::quoted(self.as_bytes()), self != default)]
    }
}

/// The absolute path of `folder` as seen from `base`.
fn below(base: &str, folder: &str) -> String {
    let mut path = PathBuf::new();
    for component in Path::new(base).join(folder).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = path.pop(),
            component => path.push(component),
        }
    }
    path.to_string_lossy().into_owned()
}

/// One `save` point: a snapshot is due after `seconds` if at least `changes` writes happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// Age of the last snapshot.
    pub seconds: u64,
    /// Writes since the last snapshot.
    pub changes: u64,
}

impl SavePoint {
    pub(super) fn defaults() -> Vec<Self> {
        [(3600, 1), (300, 100), (60, 10_000)]
            .map(|(seconds, changes)| Self { seconds, changes })
            .to_vec()
    }
}

impl Special for Vec<SavePoint> {
    fn assign(&mut self, args: &[&[u8]], origin: Origin) -> Result<(), Reason> {
        let args = if is_none(args) {
            self.clear();
            &[]
        } else {
            args
        };
        if !args.len().is_multiple_of(2) {
            return Err(error::BAD_SAVE.into());
        }
        let mut points = Vec::with_capacity(args.len() / 2);
        for pair in args.chunks_exact(2) {
            let seconds = strtoll(pair[0]).filter(|&seconds| seconds >= 1);
            let changes = strtoll(pair[1]).filter(|&changes| changes >= 0);
            let (Some(seconds), Some(changes)) = (seconds, changes) else {
                return Err(error::BAD_SAVE.into());
            };
            points.push(SavePoint {
                seconds: seconds.unsigned_abs(),
                changes: changes.unsigned_abs(),
            });
        }
        if origin == Origin::Runtime {
            self.clear();
        }
        self.extend(points);
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let points = self.iter().map(|point| format!("{} {}", point.seconds, point.changes));
        points.collect::<Vec<_>>().join(" ").into_bytes()
    }

    fn lines(&self, _: &Self) -> Vec<(String, bool)> {
        if self.is_empty() {
            return vec![("\"\"".to_owned(), true)];
        }
        self.iter().map(|point| (format!("{} {}", point.seconds, point.changes), true)).collect()
    }
}

/// When a client that does not read its replies is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimit {
    /// Disconnect at once above this many bytes; 0 is no limit.
    pub hard_bytes: u64,
    /// Disconnect after `soft_seconds` above this many bytes; 0 is no limit.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: u64,
}

/// The output buffer limits of each class of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBufferLimits {
    /// Ordinary clients.
    pub normal: BufferLimit,
    /// Replicas.
    pub replica: BufferLimit,
    /// Clients with at least one subscription.
    pub pubsub: BufferLimit,
}

impl Default for OutputBufferLimits {
    fn default() -> Self {
        let limit = |hard_bytes, soft_bytes, soft_seconds| BufferLimit {
            hard_bytes,
            soft_bytes,
            soft_seconds,
        };
        Self {
            normal: limit(0, 0, 0),
            replica: limit(256 << 20, 64 << 20, 60),
            pubsub: limit(32 << 20, 8 << 20, 60),
        }
    }
}

impl OutputBufferLimits {
    fn class(&mut self, name: &[u8]) -> Option<&mut BufferLimit> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

impl Special for OutputBufferLimits {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        if !args.len().is_multiple_of(4) {
            return Err(error::BUFFER_LIMIT_COUNT.into());
        }
        for limit in args.chunks_exact(4) {
            let class = self.class(limit[0]).ok_or(error::BUFFER_LIMIT_CLASS)?;
            let seconds = strtoll(limit[3]).and_then(|seconds| u64::try_from(seconds).ok());
            let parsed = (memory_bytes(limit[1]), memory_bytes(limit[2]), seconds);
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) = parsed else {
                return Err(error::BUFFER_LIMIT_VALUE.into());
            };
            *class = BufferLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let one = |name: &str, limit: &BufferLimit| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        };
        let classes =
            [one("normal", &self.normal), one("slave", &self.replica), one("pubsub", &self.pubsub)];
        classes.join(" ").into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        let line = |name: &str, limit: &BufferLimit, default: &BufferLimit| {
            let memory = super::number::memory_text;
            let (hard, soft) = (memory(limit.hard_bytes), memory(limit.soft_bytes));
            (format!("{name} {hard} {soft} {}", limit.soft_seconds), limit != default)
        };
        vec![
            line("normal", &self.normal, &default.normal),
            line("replica", &self.replica, &default.replica),
            line("pubsub", &self.pubsub, &default.pubsub),
        ]
    }
}

/// OOM scores of a master, a replica and a background child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomScoreAdjValues(pub [i32; 3]);

impl Default for OomScoreAdjValues {
    fn default() -> Self {
        Self([0, 200, 800])
    }
}

impl Special for OomScoreAdjValues {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        if args.len() != self.0.len() {
            return Err(error::WRONG_NUMBER.into());
        }
        for (slot, arg) in self.0.iter_mut().zip(args) {
            let value = strtoll(arg).filter(|value| (-2000..=2000).contains(value));
            *slot = value.ok_or(error::BAD_OOM_VALUES)? as i32;
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.0.map(|value| value.to_string()).join(" ").into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        vec![(self.0.map(|value| value.to_string()).join(" "), self != default)]
    }
}

bitflags! {
    /// The classes of keyspace events, with Redis' bit values.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct NotifyFlags: u32 {
        /// `K`: publish on `__keyspace@<db>__` channels.
        const KEYSPACE = 1 << 0;
        /// `E`: publish on `__keyevent@<db>__` channels.
        const KEYEVENT = 1 << 1;
        /// `g`: commands of no particular type, such as `DEL`.
        const GENERIC = 1 << 2;
        /// `$`: string commands.
        const STRING = 1 << 3;
        /// `l`: list commands.
        const LIST = 1 << 4;
        /// `s`: set commands.
        const SET = 1 << 5;
        /// `h`: hash commands.
        const HASH = 1 << 6;
        /// `z`: sorted set commands.
        const ZSET = 1 << 7;
        /// `x`: expired keys.
        const EXPIRED = 1 << 8;
        /// `e`: evicted keys.
        const EVICTED = 1 << 9;
        /// `t`: stream commands.
        const STREAM = 1 << 10;
        /// `m`: reads of missing keys.
        const KEY_MISS = 1 << 11;
        /// `d`: events of modules.
        const MODULE = 1 << 13;
        /// `n`: new keys.
        const NEW = 1 << 14;
        /// `A`: every class except `m` and `n`.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits()
            | Self::SET.bits() | Self::HASH.bits() | Self::ZSET.bits() | Self::EXPIRED.bits()
            | Self::EVICTED.bits() | Self::STREAM.bits() | Self::MODULE.bits();
    }
}

/// Letters of the event classes in the order they are printed.
const NOTIFY_CLASSES: [(u8, NotifyFlags); 11] = [
    (b'g', NotifyFlags::GENERIC),
    (b'$', NotifyFlags::STRING),
    (b'l', NotifyFlags::LIST),
    (b's', NotifyFlags::SET),
    (b'h', NotifyFlags::HASH),
    (b'z', NotifyFlags::ZSET),
    (b'x', NotifyFlags::EXPIRED),
    (b'e', NotifyFlags::EVICTED),
    (b't', NotifyFlags::STREAM),
    (b'd', NotifyFlags::MODULE),
    (b'n', NotifyFlags::NEW),
];

/// Letters printed behind the classes, whether those were folded into `A` or not.
const NOTIFY_CHANNELS: [(u8, NotifyFlags); 3] =
    [(b'K', NotifyFlags::KEYSPACE), (b'E', NotifyFlags::KEYEVENT), (b'm', NotifyFlags::KEY_MISS)];

impl NotifyFlags {
    /// Parses the letters of `notify-keyspace-events`; `None` on an unknown letter.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let mut flags = Self::empty();
        for &letter in letters {
            let mut known = NOTIFY_CLASSES.iter().chain(&NOTIFY_CHANNELS);
            flags |= match letter {
                b'A' => Self::ALL,
                _ => known.find(|(name, _)| *name == letter)?.1,
            };
        }
        Some(flags)
    }

    /// The letters for these flags, as `CONFIG GET` prints them.
    pub fn letters(self) -> String {
        let all = self.contains(Self::ALL);
        let classes = NOTIFY_CLASSES.iter().filter(|_| !all).chain(&NOTIFY_CHANNELS);
        let set = classes.filter(|(_, flag)| self.contains(*flag));
        let mut letters = String::from(if all { "A" } else { "" });
        letters.extend(set.map(|&(letter, _)| char::from(letter)));
        letters
    }
}

impl Special for NotifyFlags {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        let [letters] = args else { return Err(error::WRONG_NUMBER.into()) };
        *self = Self::parse(letters).ok_or(error::BAD_EVENT_CLASS)?;
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.letters().into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        vec![(super::quote::quoted(self.letters().as_bytes()), self != default)]
    }
}

/// The addresses to listen on; a leading `-` marks one that may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindAddresses(pub Vec<String>);

/// More addresses than this are refused.
const BIND_ADDRESSES_MAX: usize = 16;

impl Default for BindAddresses {
    fn default() -> Self {
        Self(vec!["*".to_owned(), "-::*".to_owned()])
    }
}

impl Special for BindAddresses {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        if args.len() > BIND_ADDRESSES_MAX {
            return Err(error::TOO_MANY_ADDRESSES.into());
        }
        self.0 = if is_none(args) { Vec::new() } else { words(args)? };
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.0.join(" ").into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        if self == default {
            return Vec::new();
        }
        let addresses = if self.0.is_empty() { "\"\"".to_owned() } else { self.0.join(" ") };
        vec![(addresses, true)]
    }
}

/// The master this server replicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaOf {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Special for Option<ReplicaOf> {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        let [host, port] = args else { return Err(error::WRONG_NUMBER.into()) };
        *self = None;
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            return Ok(());
        }
        let port = strtoll(port).and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or(error::BAD_MASTER_PORT)?;
        let host = std::str::from_utf8(host).map_err(|_| error::NOT_UTF8)?.to_owned();
        *self = Some(ReplicaOf { host, port });
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.as_ref().map_or_else(Vec::new, |of| format!("{} {}", of.host, of.port).into_bytes())
    }

    fn lines(&self, _: &Self) -> Vec<(String, bool)> {
        self.iter().map(|of| (format!("{} {}", of.host, of.port), true)).collect()
    }
}

/// Percentiles of command latencies that `INFO latencystats` prints.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Default for Percentiles {
    fn default() -> Self {
        Self(vec![50.0, 99.0, 99.9])
    }
}

impl Percentiles {
    /// A percentile as it is printed: up to six digits, no trailing zeros.
    pub fn trimmed(percentile: f64) -> String {
        let text = format!("{percentile:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    fn joined(&self) -> String {
        self.0.iter().map(|&p| Self::trimmed(p)).collect::<Vec<_>>().join(" ")
    }
}

impl Special for Percentiles {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        self.0.clear();
        if is_none(args) {
            return Ok(());
        }
        for arg in args {
            let value = std::str::from_utf8(arg).ok().and_then(|text| text.parse::<f64>().ok());
            let value = value.filter(|value| !value.is_nan()).ok_or(error::BAD_PERCENTILES)?;
            if !(0.0..=100.0).contains(&value) {
                return Err(error::PERCENTILE_RANGE.into());
            }
            self.0.push(value);
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.joined().into_bytes()
    }

    fn lines(&self, _: &Self) -> Vec<(String, bool)> {
        vec![(if self.0.is_empty() { "\"\"".to_owned() } else { self.joined() }, true)]
    }
}

bitflags! {
    /// How a signal shuts the server down; empty is the default behaviour.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ShutdownFlags: u8 {
        /// Snapshot even without save points.
        const SAVE = 1 << 0;
        /// No snapshot even with save points.
        const NOSAVE = 1 << 1;
        /// Do not wait for lagging replicas.
        const NOW = 1 << 2;
        /// Shut down even when something fails.
        const FORCE = 1 << 3;
    }
}

const SHUTDOWN_WORDS: [(&str, ShutdownFlags); 5] = [
    ("default", ShutdownFlags::empty()),
    ("save", ShutdownFlags::SAVE),
    ("nosave", ShutdownFlags::NOSAVE),
    ("now", ShutdownFlags::NOW),
    ("force", ShutdownFlags::FORCE),
];

impl ShutdownFlags {
    fn joined(self) -> String {
        if self.is_empty() {
            return "default".to_owned();
        }
        let set = SHUTDOWN_WORDS[1..].iter().filter(|(_, flag)| self.contains(*flag));
        set.map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
    }
}

impl Special for ShutdownFlags {
    fn assign(&mut self, args: &[&[u8]], _: Origin) -> Result<(), Reason> {
        let unknown = || not_a_choice(SHUTDOWN_WORDS.iter().map(|(word, _)| *word));
        if args.is_empty() {
            return Err(unknown());
        }
        *self = Self::empty();
        for arg in args {
            let mut all = SHUTDOWN_WORDS.iter();
            let found = all.find(|(word, _)| arg.eq_ignore_ascii_case(word.as_bytes()));
            *self |= found.ok_or_else(unknown)?.1;
        }
        if self.contains(Self::SAVE | Self::NOSAVE) {
            return Err(error::SAVE_AND_NOSAVE.into());
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        self.joined().into_bytes()
    }

    fn lines(&self, default: &Self) -> Vec<(String, bool)> {
        vec![(self.joined(), self != default)]
    }
}
