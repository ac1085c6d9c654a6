//! Effects: what commands changed, as commands, for the replicas and the append-only file.
//!
//! A command that changed something is recorded as it was sent, or as the handler says it should be
//! remembered: `EXPIRE` as `PEXPIREAT`, `SPOP` as `SREM`. What a transaction, a script or one
//! command does is a *unit*: its effects are gathered while it runs and sent at its end, within
//! `MULTI` and `EXEC` when there are several, so that nobody downstream sees half of it. Keys that
//! expire on their own are units of their own.
//!
//! Invariants:
//! - `bytes` holds the gathered effects in the wire format, `ops` the database, the sinks and the
//!   end of each; both are empty between units.
//! - While there is neither a replication stream to be made nor an append-only file nothing is
//!   recorded, and recording costs a command one branch.
//! - Each sink has a selected database of its own, because an effect may be for one of them only.
//!
//! What is absent: what becomes of the effects, see [`crate::replication`].

use crate::args::Args;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::CommandError;
use crate::session::ClientSlot;
use crate::spec::{CommandFlags, Handler};
use crate::table::CommandId;
use perilune_resp::ReplyWriter;
use perilune_script::ReplFlags;

/// Room for effects that is kept from one batch to the next, bytes.
const PENDING_KEEP: usize = 64 * 1024;

/// Most members one `SREM` names that stands for `SPOP` with a count.
pub(crate) const SREM_MEMBERS_MAX: usize = 1024;

/// How a command that is running now will be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Verdict {
    /// As it was sent, if it changed anything.
    #[default]
    IfChanged,
    /// As it was sent, for these.
    AsSent(ReplFlags),
    /// Not at all: the handler has said what there is to say.
    Settled,
}

/// One recorded effect.
#[derive(Debug, Clone, Copy)]
struct Op {
    db: usize,
    sinks: ReplFlags,
    /// Where it ends in the gathered bytes; it begins where the one before it ends.
    end: usize,
}

/// The append-only file's end of the stream.
#[derive(Debug, Default)]
pub struct AofFeed {
    /// Effects of finished units that the file does not have yet.
    pub pending: Vec<u8>,
    /// Database that the file has selected; none: a new file.
    selected: Option<usize>,
    /// Unix time that was annotated last, seconds.
    annotated_s: i64,
}

impl AofFeed {
    /// Forgets what the file has now.
    pub(crate) fn taken(&mut self) {
        self.pending.clear();
        self.pending.shrink_to(PENDING_KEEP);
    }
}

/// The effects of the running unit and the state of the stream.
#[derive(Debug, Default)]
pub struct Propagation {
    /// The replication stream is made of effects.
    for_replicas: bool,
    /// Commands within commands that are running.
    depth: usize,
    verdict: Verdict,
    ops: Vec<Op>,
    bytes: Vec<u8>,
    /// Database that the stream has selected; none: unknown to a new replica.
    selected: Option<usize>,
    /// The append-only file, while there is one.
    pub aof: Option<AofFeed>,
    /// Nobody hears of anything: commands are run that a file tells of.
    pub(crate) muted: bool,
}

impl Propagation {
    /// Whether nobody wants to know what commands change.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        self.muted || (!self.for_replicas && self.aof.is_none())
    }

    /// Records effects for the replication stream, or does not.
    pub(crate) fn record_for_replicas(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.for_replicas, wanted) != wanted {
            self.selected = None;
        }
    }

    /// Whether a unit of effects is being gathered.
    pub(crate) fn has_ops(&self) -> bool {
        !self.ops.is_empty()
    }

    /// Database that the stream has selected, as far as every replica knows.
    pub(crate) fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// Names the database of the next effect even if it is that of the last.
    pub(crate) fn forget_selection(&mut self) {
        self.selected = None;
    }

    fn record(&mut self, db: usize, sinks: ReplFlags, argv: &[&[u8]]) {
        if sinks != ReplFlags::NONE {
            append_command(&mut self.bytes, argv);
            self.ops.push(Op { db, sinks, end: self.bytes.len() });
        }
    }

    /// Hands effects to the append-only file from now on, which begins without a database.
    pub fn open_aof(&mut self) {
        let pending = self.aof.take().map(|feed| feed.pending).unwrap_or_default();
        self.aof = Some(AofFeed { pending, ..AofFeed::default() });
    }

    /// Keeps the running command out of the record.
    pub(crate) fn settle(&mut self) {
        self.verdict = Verdict::Settled;
    }

    /// Appends the gathered effects that are for `sink`, ready to be sent, and returns the database
    /// that is selected afterwards.
    fn write_unit(
        &self,
        sink: ReplFlags,
        together: bool,
        mut selected: Option<usize>,
        stream: &mut Vec<u8>,
    ) -> Option<usize> {
        let wrapped =
            together && self.ops.iter().filter(|op| op.sinks.intersects(sink)).nth(1).is_some();
        if wrapped {
            append_command(stream, &[b"MULTI"]);
        }
        let mut start = 0;
        for op in &self.ops {
            if op.sinks.intersects(sink) {
                if selected != Some(op.db) {
                    let mut digits = itoa::Buffer::new();
                    append_command(stream, &[b"SELECT", digits.format(op.db).as_bytes()]);
                    selected = Some(op.db);
                }
                stream.extend_from_slice(&self.bytes[start..op.end]);
            }
            start = op.end;
        }
        if wrapped {
            append_command(stream, &[b"EXEC"]);
        }
        selected
    }
}

/// Appends a command in the wire format of requests.
pub(crate) fn append_command(to: &mut Vec<u8>, argv: &[&[u8]]) {
    let mut digits = itoa::Buffer::new();
    to.push(b'*');
    to.extend_from_slice(digits.format(argv.len()).as_bytes());
    to.extend_from_slice(b"\r\n");
    for arg in argv {
        to.push(b'$');
        to.extend_from_slice(digits.format(arg.len()).as_bytes());
        to.extend_from_slice(b"\r\n");
        to.extend_from_slice(arg);
        to.extend_from_slice(b"\r\n");
    }
}

impl Ctx<'_> {
    /// Whether anybody wants to know what the command changes.
    #[inline]
    pub fn propagates(&self) -> bool {
        !self.engine.propagation.is_silent()
    }

    /// Records `argv` in place of the command. Called when it has changed something.
    #[inline]
    pub fn propagate_as(&mut self, argv: &[&[u8]]) {
        if self.propagates() {
            self.engine.propagation.verdict = Verdict::Settled;
            let (db, sinks) = (self.db_index(), self.engine.sinks_of(self.client));
            self.engine.propagation.record(db, sinks, argv);
        }
    }

    /// Records `argv` before the command.
    #[inline]
    pub fn propagate_also(&mut self, argv: &[&[u8]]) {
        if self.propagates() {
            let (db, sinks) = (self.db_index(), self.engine.sinks_of(self.client));
            self.engine.propagation.record(db, sinks, argv);
        }
    }

    /// Records the command even if it changed no data.
    #[inline]
    pub fn propagate_anyway(&mut self) {
        self.engine.propagation.verdict = Verdict::AsSent(ReplFlags::ALL);
    }

    /// Records the command for the replicas only: it changed nothing that is to last.
    #[inline]
    pub fn propagate_to_replicas(&mut self) {
        self.engine.propagation.verdict = Verdict::AsSent(ReplFlags::REPLICA);
    }

    /// Keeps the command out of the record: its effects are recorded, or it has none.
    #[inline]
    pub fn propagate_nothing(&mut self) {
        self.engine.propagation.settle();
    }

    /// Records the removal of a key in place of the command.
    pub fn propagate_removal(&mut self, key: &[u8], lazy: bool) {
        self.propagate_as(&[removal(lazy), key]);
    }
}

/// The command that removes a key, freeing its value in the background when `lazy`.
fn removal(lazy: bool) -> &'static [u8] {
    if lazy { b"UNLINK" } else { b"DEL" }
}

impl Engine {
    /// Runs a handler and records what it changed. The way of [`call`](Self::call) while there are
    /// replicas.
    pub(crate) fn run_recorded(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        handler: Handler,
        args: Args<'_>,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        let outer = std::mem::take(&mut self.propagation.verdict);
        let dirty = self.dirty;
        let depth = self.propagation.depth;
        self.propagation.depth = depth + 1;
        let result = handler(&mut Ctx::new(self, client, id), args, out);
        self.propagation.depth = depth;
        let wanted = match std::mem::replace(&mut self.propagation.verdict, outer) {
            Verdict::IfChanged if self.dirty != dirty => ReplFlags::ALL,
            Verdict::AsSent(sinks) => sinks,
            Verdict::IfChanged | Verdict::Settled => ReplFlags::NONE,
        };
        if wanted != ReplFlags::NONE {
            let db = self.sessions.get(client).map_or(0, |session| session.db);
            let sinks = ReplFlags(wanted.0 & self.sinks_of(client).0);
            self.propagation.record(db, sinks, args.all());
        }
        if depth == 0 {
            // What such a command removes has nothing to do with each other.
            let apart = CommandFlags::TOUCHES_ARBITRARY_KEYS;
            self.end_unit(!self.commands.get(id).flags.contains(apart));
        }
        result
    }

    /// Who the effects of a client's commands are for: a script may leave some out.
    fn sinks_of(&self, client: ClientSlot) -> ReplFlags {
        match self.scripting.running() {
            Some(run) if client == ClientSlot::SCRIPT => run.repl,
            _ => ReplFlags::ALL,
        }
    }

    /// Records that a key went away by itself.
    pub(crate) fn propagate_deletion(&mut self, db: usize, key: &[u8], lazy: bool) {
        if self.propagation.is_silent() {
            return;
        }
        self.propagation.record(db, ReplFlags::ALL, &[removal(lazy), key]);
        if self.propagation.depth == 0 {
            self.end_unit(true);
        }
    }

    /// Sends what was gathered to those it is for.
    fn end_unit(&mut self, together: bool) {
        if self.propagation.ops.is_empty() {
            return;
        }
        if let Some(mut feed) = self.propagation.aof.take() {
            self.annotate_time(&mut feed);
            let (selected, pending) = (feed.selected, &mut feed.pending);
            feed.selected =
                self.propagation.write_unit(ReplFlags::AOF, together, selected, pending);
            self.propagation.aof = Some(feed);
        }
        if self.propagation.for_replicas {
            let mut stream = Vec::with_capacity(self.propagation.bytes.len() + 64);
            let selected = self.propagation.selected;
            self.propagation.selected =
                self.propagation.write_unit(ReplFlags::REPLICA, together, selected, &mut stream);
            if !stream.is_empty() {
                self.feed_replicas(&stream);
            }
        }
        self.propagation.ops.clear();
        self.propagation.bytes.clear();
    }

    /// Tells the time in the append-only file, once a second at most, if the configuration wants it.
    fn annotate_time(&self, feed: &mut AofFeed) {
        let now_s = self.now_us / 1_000_000;
        let for_file = |op: &Op| op.sinks.intersects(ReplFlags::AOF);
        if self.config.aof_timestamp_enabled
            && feed.annotated_s < now_s
            && self.propagation.ops.iter().any(for_file)
        {
            feed.annotated_s = now_s;
            perilune_persist::aof::append_timestamp(&mut feed.pending, now_s);
        }
    }

    /// Ends a unit that a panic cut short: what it did is done.
    #[cold]
    pub(crate) fn abandon_unit(&mut self) {
        self.propagation.depth = 0;
        self.end_unit(true);
    }
}

#[cfg(test)]
mod tests {
    use crate::session::ClientSlot;
    use crate::test_support::TestEngine;

    /// A server with a client and a replica that is online and has its snapshot.
    fn replicated() -> (TestEngine, ClientSlot, ClientSlot) {
        let mut server = TestEngine::new();
        let (client, replica) = (server.client(), server.client());
        server.run(client, "CONFIG SET repl-diskless-sync-delay 0");
        server.run(replica, "REPLCONF capa eof");
        let snapshot = server.run(replica, "SYNC");
        assert!(snapshot.starts_with("$EOF:"), "{snapshot}");
        server.run(replica, "REPLCONF ACK 0");
        (server, client, replica)
    }

    /// What the replica got meanwhile, a command a line.
    fn stream(server: &mut TestEngine, replica: ClientSlot) -> String {
        let bytes = server.late(replica);
        let words = bytes.split("\r\n").filter(|word| !word.starts_with('$') && !word.is_empty());
        let mut text = String::new();
        for word in words {
            let (separator, word) = if word.starts_with('*') { ("\n", "") } else { (" ", word) };
            text.push_str(if word.is_empty() { separator } else { "" });
            text.push_str(word);
            text.push_str(if word.is_empty() { "" } else { " " });
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn effects_of(commands: &[&str]) -> String {
        let (mut server, client, replica) = replicated();
        server.run(client, "SET selected 0");
        stream(&mut server, replica);
        for command in commands {
            server.run(client, command);
        }
        stream(&mut server, replica)
    }

    #[test]
    fn a_command_goes_as_it_was_sent_after_the_choice_of_its_database() {
        let (mut server, client, replica) = replicated();
        server.run(client, "set k v");
        server.run(client, "append k w");
        server.run(client, "SELECT 3");
        server.run(client, "set k v");
        let expected = "SELECT 0\nset k v\nappend k w\nSELECT 3\nset k v";
        assert_eq!(stream(&mut server, replica), expected);
    }

    #[test]
    fn what_changes_nothing_is_not_sent() {
        assert_eq!(effects_of(&["GET selected", "DEL none", "EXPIRE none 5", "LPOP none"]), "");
        assert_eq!(effects_of(&["LPUSH selected 1", "GETEX selected", "MULTI", "EXEC"]), "");
    }

    #[test]
    fn relative_and_random_things_are_sent_as_what_they_came_to() {
        let effects = effects_of(&["SET k 1 EX 10 GET", "EXPIRE k 10 XX", "GETEX k PERSIST"]);
        let expected = "SET k 1 PXAT 1000010000\nPEXPIREAT k 1000010000 XX\nPERSIST k";
        assert_eq!(effects, expected);
        assert_eq!(effects_of(&["EXPIRE selected -1"]), "DEL selected");
        assert_eq!(effects_of(&["SET k v NX GET"]), "SET k v NX");
        assert_eq!(effects_of(&["SADD s m", "SPOP s"]), "SADD s m\nSREM s m");
        assert_eq!(effects_of(&["SADD s a b", "SPOP s 5"]), "SADD s a b\nDEL s");
        assert_eq!(effects_of(&["INCRBYFLOAT f 1.5"]), "SET f 1.5 KEEPTTL");
        let effects = effects_of(&["RPUSH l a b", "LMPOP 2 x l LEFT COUNT 9"]);
        assert_eq!(effects, "RPUSH l a b\nLPOP l 2");
    }

    #[test]
    fn streams_are_sent_as_what_was_chosen_and_delivered() {
        let effects = effects_of(&["XADD s * f v", "XADD s MAXLEN ~ 1 * f v", "XDEL s 1-1"]);
        let expected = "XADD s 1000000000-0 f v\nXADD s MAXLEN = 2 1000000000-1 f v";
        assert_eq!(effects, expected);
        let group = ["XADD s 1-0 f v", "XADD s 2-0 f v", "XGROUP CREATE s g 0"];
        let read = ["XREADGROUP GROUP g c COUNT 1 STREAMS s >", "XACK s g 9-9"];
        let noack = ["XREADGROUP GROUP g d NOACK STREAMS s >"];
        let effects = effects_of(&[&group[..], &read[..], &noack[..]].concat());
        let claim = "XCLAIM s g c 0 1-0 TIME 1000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-0";
        let rest = "MULTI\nXGROUP CREATECONSUMER s g d\nXGROUP SETID s g 2-0 ENTRIESREAD 2\nEXEC";
        assert_eq!(effects, format!("{}\n{claim}\n{rest}", group.join("\n")));
    }

    #[test]
    fn a_transaction_is_wrapped_when_it_does_several_things() {
        assert_eq!(effects_of(&["MULTI", "INCR a", "GET a", "EXEC"]), "INCR a");
        let effects = effects_of(&["MULTI", "INCR a", "SELECT 2", "INCR b", "EXEC", "INCR c"]);
        assert_eq!(effects, "MULTI\nINCR a\nSELECT 2\nINCR b\nEXEC\nINCR c");
    }

    #[test]
    fn a_client_that_waited_is_a_unit_of_its_own() {
        let (mut server, client, replica) = replicated();
        let waiter = server.client();
        server.run(waiter, "BLPOP l 0");
        server.run(client, "MULTI");
        server.run(client, "RPUSH l a");
        server.run(client, "RPUSH l b");
        server.run(client, "EXEC");
        let expected = "MULTI\nSELECT 0\nRPUSH l a\nRPUSH l b\nEXEC\nLPOP l";
        assert_eq!(stream(&mut server, replica), expected);
    }

    #[test]
    fn keys_expire_before_the_command_that_finds_them() {
        let (mut server, client, replica) = replicated();
        server.run(client, "SET k v PX 5");
        server.run(client, "SET j v PX 5");
        stream(&mut server, replica);
        server.pass_ms(10);
        server.run(client, "GET k");
        server.run(client, "INCR j");
        assert_eq!(stream(&mut server, replica), "DEL k\nMULTI\nDEL j\nINCR j\nEXEC");
    }

    #[test]
    fn each_sink_gets_what_is_for_it() {
        let (mut server, client, replica) = replicated();
        server.engine.propagation.open_aof();
        server.run(client, "SET k v");
        server.run(client, "PUBLISH channel word");
        stream(&mut server, replica);
        server.engine.propagation.open_aof();
        server.run(client, "SELECT 1");
        server.run(client, "FLUSHDB");
        let feed = server.engine.propagation.aof.as_mut().expect("a feed");
        let pending = String::from_utf8(std::mem::take(&mut feed.pending)).expect("text");
        assert!(
            pending.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET"),
            "{pending}"
        );
        assert!(!pending.contains("PUBLISH") && pending.ends_with("FLUSHDB\r\n"), "{pending}");
        assert_eq!(stream(&mut server, replica), "SELECT 1\nFLUSHDB");
    }

    #[test]
    fn without_replicas_for_long_nothing_is_kept() {
        let (mut server, client, replica) = replicated();
        server.engine.disconnect(replica);
        server.pass_ms(3_602_000);
        server.engine.sample_cycle();
        server.run(client, "SET k v");
        assert!(server.engine.propagation.is_silent());
        assert!(server.engine.propagation.ops.is_empty());
    }
}
