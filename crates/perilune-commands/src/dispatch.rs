//! The one road of every command: resolve, check, call, and what follows a call.
//!
//! - [`Engine::execute`] is the entry of a client's request.
//! - [`Engine::call`] runs a resolved command and keeps the books (duration, statistics, slow
//!   log). `EXEC`, `redis.call` and woken clients enter here, behind their own checks.
//! - [`Engine::after_command`] serves the clients that the command made runnable; it runs once per
//!   top-level command, so a transaction or script is atomic for them, too.

use crate::aof::SafeDisks;
use crate::args::Args;
use crate::blocking::{Blocked, UnblockReason, WaitKind};
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::evict::EvictionOutcome;
use crate::owned_args::OwnedArgs;
use crate::redact::redacted;
use crate::session::{ClientSlot, DebugMode};
use crate::spec::CommandFlags;
use crate::table::{Command, CommandId};
use perilune_keyspace::{KeyEntry, ValueRef};
use perilune_resp::{ReplyWriter, RespWriter};
use perilune_script::LogLevel;

/// What a connection does after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Goes on with the next request.
    Continue,
    /// Waits for its waker; the client is blocked and further requests stay unread.
    Blocked,
    /// Leaves the parked call to whoever can talk to the debugger's user; see
    /// [`Engine::take_debug_call`].
    Debug,
    /// Writes what there is and closes.
    Close,
}

/// What becomes of a command that passed all checks.
enum Admission {
    Run(CommandId),
    Queue,
    Postpone,
    Debug,
}

/// Requests of HTTP are logged at most once in so many milliseconds: anybody can send them.
const HTTP_LOG_MS: i64 = 60_000;

impl Engine {
    /// Runs one request of a client and appends its reply, if there is one now, to `out`. Empty
    /// requests are skipped.
    pub fn execute(&mut self, client: ClientSlot, argv: &[&[u8]], out: &mut Vec<u8>) -> Flow {
        if argv.is_empty() {
            self.replica_lives(client);
            return Flow::Continue;
        }
        let args = Args::new(argv);
        self.evict_clients();
        if self.sessions.get(client).is_none_or(|session| session.killed) {
            return Flow::Close;
        }
        let before = self.current_client.replace(client);
        self.replies_wait = !out.is_empty();
        let admission = self.admit(client, args);
        let Some(session) = self.sessions.get_mut(client).filter(|session| !session.killed) else {
            self.current_client = before;
            return Flow::Close;
        };
        // What the checks had to say (keys were evicted) concerns what the client knew before.
        session.take_outbox(out);
        let (protocol, start) = (session.protocol, out.len());
        self.proceed(client, admission, args, &mut RespWriter::new(out, protocol));
        self.end_caching(client);
        self.current_client = before;
        self.settle(client, start, out)
    }

    /// Runs one request of a client into any writer: embedding, tests.
    pub fn execute_into(
        &mut self,
        client: ClientSlot,
        argv: &[&[u8]],
        out: &mut dyn ReplyWriter,
    ) -> Flow {
        if argv.is_empty() {
            return Flow::Continue;
        }
        let before = self.current_client.replace(client);
        self.process(client, argv, out);
        self.end_caching(client);
        self.current_client = before;
        self.flow_of(client)
    }

    /// Applies `CLIENT REPLY` to what was written since `start` and appends the outbox.
    fn settle(&mut self, client: ClientSlot, start: usize, out: &mut Vec<u8>) -> Flow {
        let Some(session) = self.sessions.get_mut(client) else { return Flow::Close };
        if session.replica.is_some() && out.len() > start && session.is_replica() {
            self.close_talking_replica(client, &out[start..]);
            out.truncate(start);
            return Flow::Close;
        }
        session.apply_reply_mode(start, out);
        session.take_outbox(out);
        if session.replica.is_some() {
            self.take_stream(client, out);
        }
        self.count_client(client);
        self.flow_of(client)
    }

    pub(crate) fn flow_of(&self, client: ClientSlot) -> Flow {
        match self.sessions.get(client) {
            None => Flow::Close,
            Some(session) if session.killed || session.close_after_reply => Flow::Close,
            Some(session) if session.blocked.is_some() => Flow::Blocked,
            Some(session) if session.debug_call.is_some() => Flow::Debug,
            Some(_) => Flow::Continue,
        }
    }

    /// Runs a command that was parked for a debugger. The checks are made again, because things
    /// may have changed; it cannot wait any more.
    pub(crate) fn process_parked(
        &mut self,
        client: ClientSlot,
        argv: &[&[u8]],
        out: &mut dyn ReplyWriter,
    ) {
        let args = Args::new(argv);
        let error = match self.admit(client, args) {
            Ok(Admission::Run(id)) => {
                self.call(client, id, args, out);
                return self.after_command();
            }
            Ok(_) => errors::ENGINE_BUSY,
            Err(error) => error,
        };
        self.stats.count_error(error.text().as_bytes());
        out.error(&error.bytes());
    }

    fn process(&mut self, client: ClientSlot, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        let args = Args::new(argv);
        let admission = self.admit(client, args);
        self.proceed(client, admission, args, out);
    }

    /// Does what the checks decided.
    #[inline]
    fn proceed(
        &mut self,
        client: ClientSlot,
        admission: Result<Admission, CommandError>,
        args: Args<'_>,
        out: &mut dyn ReplyWriter,
    ) {
        match admission {
            Ok(Admission::Run(id)) => {
                let offset = self.replication.offset;
                self.call(client, id, args, out);
                self.note_stream_offset(client, offset);
                self.note_aof_offset(client);
                self.after_command();
            }
            Ok(Admission::Queue) => self.queue(client, args, out),
            Ok(Admission::Postpone) => self.postpone(client, args),
            Ok(Admission::Debug) => self.park_debug_call(client, args),
            Err(error) => {
                self.stats.count_error(error.text().as_bytes());
                out.error(&error.bytes());
            }
        }
    }

    /// All checks between knowing the arguments and running the command.
    fn admit(&mut self, client: ClientSlot, args: Args<'_>) -> Result<Admission, CommandError> {
        let checked = self.commands.resolve(args).and_then(|id| self.check(client, id, args));
        match checked {
            Err(error) => Err(self.reject(client, args, error)),
            admission => admission,
        }
    }

    /// A refused command spoils an open transaction; a refused `EXEC` ends it.
    #[cold]
    fn reject(&mut self, client: ClientSlot, args: Args<'_>, error: CommandError) -> CommandError {
        let (mut name, now_ms) = ("", self.now_ms());
        if let Ok(id) = self.commands.find(args) {
            let command = self.commands.get_mut(id);
            command.stats.rejected += 1;
            name = command.full_name;
        } else if is_of_http(args) {
            self.refuse_http(client);
        }
        if let Some(session) = self.sessions.get_mut(client) {
            session.last_command = name;
            session.last_interaction_ms = now_ms;
        }
        if name == "exec" {
            self.discard_transaction(client);
            return errors::exec_abort(&error);
        }
        let session = self.sessions.get_mut(client);
        if let Some(transaction) = session.and_then(|session| session.transaction.as_mut()) {
            transaction.aborted = true;
        }
        error
    }

    /// A browser was made to talk to this server: its connection ends before the lines that come
    /// with its request are taken for commands.
    #[cold]
    fn refuse_http(&mut self, client: ClientSlot) {
        let now_ms = self.now_ms();
        if now_ms >= self.http_silent_until_ms
            && let Some(session) = self.sessions.get(client)
        {
            self.http_silent_until_ms = now_ms + HTTP_LOG_MS;
            let line = format!(
                "Possible SECURITY ATTACK: a line of HTTP (POST or Host:) came from {}. Somebody may \
                 be using a browser to send commands to this server. Connection closed.",
                session.peer.addr
            );
            self.env.log(LogLevel::Warning, &line);
        }
        self.kill(client);
    }

    /// Ends a transaction without running it.
    pub(crate) fn discard_transaction(&mut self, client: ClientSlot) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.transaction = None;
        }
        self.unwatch_all(client);
    }

    #[inline]
    fn check(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<Admission, CommandError> {
        let command = self.commands.get(id);
        let (flags, name) = (command.flags, command.full_name);
        let Some(session) = self.sessions.get_mut(client) else { return Err(errors::NOAUTH) };
        session.last_command = name;
        session.last_interaction_ms = self.now_us / 1000;
        let (authenticated, unrestricted) = (session.authenticated, session.is_unrestricted());
        let queueing = session.transaction.is_some();
        let debug_mode = session.debug_mode;
        let only_subscriptions = session.subscriber_only();
        if flags.contains(CommandFlags::PROTECTED) {
            self.check_protected(client, name)?;
        }
        if !authenticated && !flags.contains(CommandFlags::NO_AUTH) && self.auth_required(client) {
            return Err(errors::NOAUTH);
        }
        if queueing && flags.contains(CommandFlags::NO_MULTI) {
            return Err(errors::NO_MULTI);
        }
        if !unrestricted {
            self.check_rights(client, id, args)?;
        }
        if only_subscriptions && !allowed_while_subscribed(name) {
            return Err(errors::only_subscription_commands(name));
        }
        // While a slow script lets others in, its own view of the data must not change.
        let evicts = self.config.maxmemory > 0 && !self.scripting.is_running();
        if evicts && !self.ignores_maxmemory() {
            self.check_memory(client, flags, name, args)?;
        }
        self.limit_tracking();
        self.check_disk(client, flags, name, args)?;
        if self.config.min_replicas_to_write > 0 {
            self.check_replicas(client, flags, name, args)?;
        }
        if !self.replication.replicas.is_empty() || self.monitors > 0 {
            self.check_own_replica(client, flags)?;
        }
        if self.replication.is_replica() {
            let flags = self.scripting.effective_flags(flags, name, args);
            self.check_as_replica(client, flags, name)?;
        }
        if self.persistence.loading.is_some() {
            self.check_loading(client, flags, name)?;
        }
        if let Some(error) = self.scripting.busy_error()
            && !flags.contains(CommandFlags::ALLOW_BUSY)
        {
            return Err(error);
        }
        let debugs = debug_mode != DebugMode::Off && can_be_debugged(name);
        if queueing && debugs {
            return Err(errors::DEBUG_IN_MULTI);
        }
        if self.pauses.may_hold() && self.is_paused(client, id, flags, args) {
            return Ok(Admission::Postpone);
        }
        if queueing && !runs_inside_multi(name) {
            return Ok(Admission::Queue);
        }
        Ok(if debugs { Admission::Debug } else { Admission::Run(id) })
    }

    /// `DEBUG` and `MODULE`, which a configuration switch opens for nobody, local clients or all.
    fn check_protected(&self, client: ClientSlot, name: &str) -> Result<(), CommandError> {
        let local = self.sessions.get(client).is_some_and(|session| session.peer.local);
        let switch = match name.starts_with("module") {
            true => self.config.enable_module_command,
            false => self.config.enable_debug_command,
        };
        match switch.allows(local) {
            true => Ok(()),
            false => Err(errors::protected_command(name)),
        }
    }

    /// Makes room and refuses what needs memory where that was not enough.
    fn check_memory(
        &mut self,
        client: ClientSlot,
        flags: CommandFlags,
        name: &str,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let queueing =
            self.sessions.get(client).is_some_and(|session| session.transaction.is_some());
        // Queued commands count as growing, because the queue itself grows.
        let denied = flags.contains(CommandFlags::DENYOOM)
            || (queueing && !runs_inside_multi(name))
            || (name == "exec" && self.queue_contains(client, CommandFlags::DENYOOM));
        let over = self.evict() == EvictionOutcome::Exhausted;
        self.scripting.note_memory(over);
        if !flags.contains(CommandFlags::READONLY) {
            self.limit_growth(client);
        }
        if over && (denied || self.scripting.denies_oom(name, args)) {
            Err(errors::OOM)
        } else {
            Ok(())
        }
    }

    /// Refuses writes while they cannot be kept, and `PING`, so that monitoring notices.
    #[inline]
    fn check_disk(
        &mut self,
        client: ClientSlot,
        flags: CommandFlags,
        name: &str,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let Some(error) = self.disk_refuses_writes() else { return Ok(()) };
        let flags = self.scripting.effective_flags(flags, name, args);
        let writes = flags.contains(CommandFlags::WRITE)
            || name == "ping"
            || (name == "exec" && self.queue_contains(client, CommandFlags::WRITE));
        if !writes {
            return Ok(());
        }
        if !self.sessions.get(client).is_some_and(|session| session.is_master) {
            return Err(error);
        }
        self.obey_without_disk(name);
        Ok(())
    }

    /// Why writes are refused because they cannot be kept, if they are.
    #[inline]
    pub(crate) fn disk_refuses_writes(&self) -> Option<CommandError> {
        self.rdb_refuses_writes().or_else(|| self.aof_refuses_writes())
    }

    /// Refuses what works on data while they are being read.
    #[cold]
    fn check_loading(
        &self,
        client: ClientSlot,
        flags: CommandFlags,
        name: &str,
    ) -> Result<(), CommandError> {
        let refused = !flags.contains(CommandFlags::LOADING)
            || (name == "exec" && self.queue_lacks(client, CommandFlags::LOADING));
        if refused { Err(errors::LOADING) } else { Ok(()) }
    }

    /// Refuses writes while fewer replicas are attached than the configuration asks for.
    fn check_replicas(
        &self,
        client: ClientSlot,
        flags: CommandFlags,
        name: &str,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let flags = self.scripting.effective_flags(flags, name, args);
        let writes = flags.contains(CommandFlags::WRITE)
            || (name == "exec" && self.queue_contains(client, CommandFlags::WRITE));
        match writes && self.lacks_replicas() {
            true => Err(errors::NOREPLICAS),
            false => Ok(()),
        }
    }

    /// Whether the configuration asks for more replicas than there are.
    pub(crate) fn lacks_replicas(&self) -> bool {
        self.config.min_replicas_to_write > 0
            && self.config.min_replicas_max_lag > 0
            && !self.replication.is_replica()
            && !self.aof.is_replaying()
            && self.count_good_replicas() < self.config.min_replicas_to_write as usize
    }

    /// Whether a command with one of these flags waits in the client's transaction.
    pub(crate) fn queue_contains(&self, client: ClientSlot, flags: CommandFlags) -> bool {
        self.queue_has(client, |queued| queued.intersects(flags))
    }

    /// Whether a command without these flags waits in the client's transaction.
    pub(crate) fn queue_lacks(&self, client: ClientSlot, flags: CommandFlags) -> bool {
        self.queue_has(client, |queued| !queued.contains(flags))
    }

    fn queue_has(&self, client: ClientSlot, wanted: impl Fn(CommandFlags) -> bool) -> bool {
        let transaction = self.sessions.get(client).and_then(|s| s.transaction.as_ref());
        transaction.is_some_and(|transaction| {
            transaction.queue.iter().any(|queued| {
                let view = queued.view();
                let args = Args::new(&view);
                self.commands.find(args).is_ok_and(|id| {
                    let Command { flags, full_name, .. } = *self.commands.get(id);
                    wanted(self.scripting.effective_flags(flags, full_name, args))
                })
            })
        })
    }

    /// Remembers how far the stream was after a client's last effect, for `WAIT`.
    #[inline]
    fn note_stream_offset(&mut self, client: ClientSlot, before: u64) {
        let offset = self.replication.offset;
        if offset != before
            && let Some(session) = self.sessions.get_mut(client)
        {
            session.stream_offset = offset;
        }
    }

    fn queue(&mut self, client: ClientSlot, args: Args<'_>, out: &mut dyn ReplyWriter) {
        if let Some(session) = self.sessions.get_mut(client)
            && let Some(transaction) = &mut session.transaction
        {
            // A transaction that will be discarded anyway need not be remembered.
            if !transaction.aborted && !session.watch_broken {
                let owned = OwnedArgs::new(args.all());
                transaction.bytes += owned.byte_len();
                transaction.queue.push(owned);
            }
        }
        out.status(b"QUEUED");
    }

    /// Runs a resolved command: the handler, its error, and the books. True when it succeeded.
    pub(crate) fn call(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
        out: &mut dyn ReplyWriter,
    ) -> bool {
        let command = self.commands.get(id);
        let (handler, flags) = (command.spec.handler, command.flags);
        let started_us = self.mono_us;
        let result = match self.propagation.is_silent() {
            true => handler(&mut Ctx::new(self, client, id), args, out),
            false => self.run_recorded(client, id, handler, args, out),
        };
        let failed = result.is_err() || self.scripting.take_told_error();
        if let Err(error) = &result
            && !error.is_replied()
        {
            self.stats.count_error(error.text().as_bytes());
            out.error(&error.bytes());
        }
        self.remember_reads(id, args);
        let mono_us = self.clock.monotonic_us();
        self.mono_us = mono_us;
        if !self.scripting.is_running() {
            self.now_us = mono_us as i64 + self.wall_offset_us;
        }
        let hidden = CommandFlags::SKIP_MONITOR | CommandFlags::ADMIN;
        if self.monitors > 0 && !flags.intersects(hidden) && !self.runs_again(client, flags) {
            self.feed_monitors(client, id, args);
        }
        let took_us = mono_us.saturating_sub(started_us);
        if let Some(took_us) = self.finished_after(client, flags, took_us) {
            self.count_call(client, id, args, took_us, failed);
        }
        !failed
    }

    /// Whether this run is not the first attempt of a command that waited.
    fn runs_again(&self, client: ClientSlot, flags: CommandFlags) -> bool {
        flags.contains(CommandFlags::BLOCKING)
            && self.sessions.get(client).is_some_and(|session| session.reexecuting)
    }

    /// The duration of all attempts of a command, the last of which took `last_us`. None if there
    /// will be another one: a command that waits counts once, when it is over.
    #[inline]
    fn finished_after(
        &mut self,
        client: ClientSlot,
        flags: CommandFlags,
        last_us: u64,
    ) -> Option<u64> {
        if !flags.contains(CommandFlags::BLOCKING) {
            return Some(last_us);
        }
        let Some(session) = self.sessions.get_mut(client) else { return Some(last_us) };
        session.attempts_us += last_us;
        match session.blocked {
            Some(_) => None,
            None => Some(std::mem::take(&mut session.attempts_us)),
        }
    }

    /// Enters a finished command into the books.
    #[inline]
    fn count_call(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
        took_us: u64,
        failed: bool,
    ) {
        let script = self.scripting.note_time(took_us, self.now_us);
        if self.aof.is_replaying() {
            return;
        }
        let command = self.commands.get_mut(id);
        command.stats.calls += 1;
        command.stats.usec += took_us;
        command.stats.failed += u64::from(failed);
        if self.config.latency_tracking {
            command.latency.record(took_us * 1000);
        }
        self.stats.commands_processed += 1;
        if let Some(session) = self.sessions.get_mut(client) {
            session.commands += 1;
        }
        let slower_than = self.config.slowlog_log_slower_than;
        let slow = slower_than >= 0 && took_us >= slower_than as u64;
        let threshold_ms = self.config.latency_monitor_threshold;
        let spike = threshold_ms > 0 && took_us / 1000 >= threshold_ms;
        if !slow && !spike {
            return;
        }
        if let Some(place) = script {
            self.note_slow_script(place, took_us, slow, spike);
        }
        self.note_slow_command(client, id, args, took_us, slow, spike);
    }

    /// Records a slow command in the slow log, if it is `slow`, and in the latency monitor, if it is
    /// a `spike`.
    #[cold]
    fn note_slow_command(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
        took_us: u64,
        slow: bool,
        spike: bool,
    ) {
        let Command { flags, full_name, .. } = *self.commands.get(id);
        let now_s = self.now_us / 1_000_000;
        if spike {
            let fast = flags.contains(CommandFlags::FAST);
            let event = if fast { "fast-command" } else { "command" };
            self.latency.add(event, now_s, took_us / 1000);
        }
        if slow && !flags.contains(CommandFlags::SKIP_SLOWLOG) {
            // What a script runs is logged without its caller.
            if let Some(session) = self.sessions.get(client) {
                let max_len = self.config.slowlog_max_len;
                let args = redacted(full_name, args);
                self.slowlog.add(max_len, now_s, took_us, &args, &session.peer, &session.name);
            }
        }
    }

    /// Serves clients whose keys were changed. Runs after every top-level command.
    #[inline]
    pub(crate) fn after_command(&mut self) {
        // What a slow script has done so far is not to be seen; its own end serves the waiters.
        if !self.waiters.is_empty() && !self.scripting.is_running() {
            self.serve_waiters();
        }
    }

    fn serve_waiters(&mut self) {
        loop {
            let ready = self.waiters.take_ready();
            if ready.is_empty() {
                return;
            }
            for at in ready {
                for client in self.waiters.waiting_for(&at) {
                    if self.keyspace.db(at.0).get(&at.1).is_none() && !self.waiters.has_members(&at)
                    {
                        // Those in front took everything.
                        break;
                    }
                    self.try_waiter(client, &at);
                }
            }
        }
    }

    /// Runs a waiting client's command again if its key now holds what it waits for.
    fn try_waiter(&mut self, client: ClientSlot, at: &(usize, perilune_keyspace::Bytes)) {
        let now_ms = self.now_ms();
        let Some(session) = self.sessions.get(client) else { return };
        let Some(blocked) = &session.blocked else { return };
        let entry = self.keyspace.db(at.0).get(&at.1).filter(|entry| !entry.is_expired(now_ms));
        let value = entry.map(KeyEntry::value);
        let fits = match blocked.kind {
            WaitKind::List => matches!(value, Some(ValueRef::List(_))),
            WaitKind::SortedSet => matches!(value, Some(ValueRef::ZSet(_))),
            WaitKind::Stream => matches!(value, Some(ValueRef::Stream(_))),
            // Whatever has become of the stream, its command knows what to answer.
            WaitKind::Group => true,
            WaitKind::Pause | WaitKind::Replicas | WaitKind::Fsync | WaitKind::Exit => false,
        };
        if fits {
            self.run_again(client);
        }
    }

    /// Takes a client out of its wait and runs its command; it may wait again.
    fn run_again(&mut self, client: ClientSlot) {
        let Some(blocked) = self.take_blocked(client) else { return };
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.reexecuting = blocked.kind != WaitKind::Pause;
        let mut out = std::mem::take(&mut session.outbox);
        let start = out.len();
        let protocol = session.protocol;
        let view = blocked.argv.view();
        let args = Args::new(&view);
        let before = self.current_client.replace(client);
        let mut writer = RespWriter::new(&mut out, protocol);
        if blocked.kind == WaitKind::Pause {
            self.process(client, &view, &mut writer);
        } else {
            let offset = self.replication.offset;
            self.attempt_again(client, args, &blocked, &mut writer);
            self.note_stream_offset(client, offset);
            self.note_aof_offset(client);
        }
        self.end_caching(client);
        self.current_client = before;
        if let Some(session) = self.sessions.get_mut(client) {
            session.reexecuting = false;
            session.apply_reply_mode(start, &mut out);
            let pushed = std::mem::replace(&mut session.outbox, out);
            session.outbox.extend_from_slice(&pushed);
            session.wake();
        }
    }

    /// Runs the command of a client that waited for keys. The checks are made again, because
    /// things may have changed (memory); the deadline stays what it was if it waits again.
    fn attempt_again(
        &mut self,
        client: ClientSlot,
        args: Args<'_>,
        blocked: &Blocked,
        out: &mut dyn ReplyWriter,
    ) {
        match self.admit(client, args) {
            Ok(Admission::Run(id)) => {
                self.call(client, id, args, out);
            }
            Ok(Admission::Queue) => self.queue(client, args, out),
            Ok(Admission::Postpone) => self.postpone(client, args),
            Ok(Admission::Debug) => self.park_debug_call(client, args),
            Err(error) => {
                self.stats.count_error(error.text().as_bytes());
                out.error(&error.bytes());
            }
        }
        if let Some(session) = self.sessions.get_mut(client)
            && let Some(again) = &mut session.blocked
            && again.kind != WaitKind::Pause
        {
            again.deadline_ms = blocked.deadline_ms;
        }
    }

    fn take_blocked(&mut self, client: ClientSlot) -> Option<Box<Blocked>> {
        let now_ms = self.now_ms();
        let session = self.sessions.get_mut(client)?;
        let blocked = session.blocked.take()?;
        session.last_interaction_ms = now_ms;
        if blocked.kind != WaitKind::Pause {
            self.waiters.remove(client, &blocked);
        }
        Some(blocked)
    }

    /// Makes a client wait. The command that calls this writes no reply.
    pub(crate) fn block(&mut self, client: ClientSlot, blocked: Blocked) {
        if blocked.kind != WaitKind::Pause {
            self.waiters.add(client, &blocked);
        }
        if let Some(session) = self.sessions.get_mut(client) {
            session.blocked = Some(Box::new(blocked));
        }
    }

    /// Ends a client's wait without an answer: it is going away.
    pub(crate) fn stop_waiting(&mut self, client: ClientSlot) {
        self.take_blocked(client);
    }

    /// Ends a client's wait for keys with the reply for `reason`. False when it does not wait.
    pub fn unblock(&mut self, client: ClientSlot, reason: UnblockReason) -> bool {
        let waits = self
            .sessions
            .get(client)
            .and_then(|session| session.blocked.as_ref())
            .is_some_and(|blocked| !matches!(blocked.kind, WaitKind::Pause | WaitKind::Exit));
        if !waits {
            return false;
        }
        let Some(blocked) = self.take_blocked(client) else { return false };
        let error = match reason {
            UnblockReason::Timeout => None,
            UnblockReason::Error => Some(errors::UNBLOCKED),
            UnblockReason::NewRole => Some(errors::UNBLOCKED_BY_ROLE),
        };
        let failed = error.is_some();
        if let Some(error) = &error {
            self.stats.count_error(error.text().as_bytes());
        }
        let view = blocked.argv.view();
        let args = Args::new(&view);
        // Others that wait were counted when they began to.
        let counts = |flags: CommandFlags| failed || flags.contains(CommandFlags::BLOCKING);
        if let Ok(id) = self.commands.resolve(args)
            && counts(self.commands.get(id).flags)
            && let Some(took_us) = self.finished_after(client, CommandFlags::BLOCKING, 0)
        {
            self.count_call(client, id, args, took_us, failed);
        }
        let offset = self.sessions.get(client).map_or(0, |session| session.stream_offset);
        let confirmed = match blocked.kind {
            WaitKind::Replicas => self.count_confirmations(offset),
            _ => 0,
        };
        let disks = match blocked.kind {
            WaitKind::Fsync => self.disks_with_effects_of(client),
            _ => SafeDisks::default(),
        };
        let Some(session) = self.sessions.get_mut(client) else { return false };
        if session.takes_reply() {
            self.push(client, |out| match error {
                None if blocked.kind == WaitKind::Fsync => disks.reply(out),
                None => blocked.kind.reply_timeout(confirmed, out),
                Some(error) => out.error(error.text().as_bytes()),
            });
        }
        if let Some(session) = self.sessions.get(client) {
            session.wake();
        }
        true
    }

    /// Ends a client's wait, whatever it is for, with an error.
    pub(crate) fn fail_waiter(&mut self, client: ClientSlot, error: &CommandError) {
        if self.take_blocked(client).is_none() {
            return;
        }
        self.stats.count_error(error.text().as_bytes());
        self.push(client, |out| out.error(&error.bytes()));
        if let Some(session) = self.sessions.get(client) {
            session.wake();
        }
    }

    /// Ends a client's wait if its time is up, or runs a paused command if the pause is over. The
    /// connection calls this at the deadline.
    pub fn check_deadline(&mut self, client: ClientSlot) {
        self.refresh_clock();
        let now_ms = self.now_ms();
        let Some(blocked) = self.sessions.get(client).and_then(|s| s.blocked.as_ref()) else {
            return;
        };
        if blocked.deadline_ms.is_none_or(|deadline| deadline > now_ms) {
            return;
        }
        if blocked.kind == WaitKind::Pause {
            self.run_again(client);
            self.after_command();
        } else {
            self.unblock(client, UnblockReason::Timeout);
        }
    }

    /// Whether a command can change data: a write, a transaction with a write in it, a script that
    /// does not promise otherwise.
    pub(crate) fn may_write(
        &self,
        client: ClientSlot,
        id: CommandId,
        flags: CommandFlags,
        args: Args<'_>,
    ) -> bool {
        let name = self.commands.get(id).full_name;
        if name == "exec" {
            let queue = self.sessions.get(client).and_then(|s| s.transaction.as_ref());
            return queue.is_some_and(|transaction| {
                transaction.queue.iter().any(|owned| {
                    let view = owned.view();
                    let args = Args::new(&view);
                    self.commands.resolve(args).is_ok_and(|id| {
                        let flags = self.commands.get(id).flags;
                        self.may_write(ClientSlot::SCRIPT, id, flags, args)
                    })
                })
            });
        }
        if let Some(read_only) = self.scripting.promises_read_only(name, args) {
            return !read_only;
        }
        flags.intersects(CommandFlags::WRITE | CommandFlags::MAY_REPLICATE)
    }
}

/// Whether a request begins as the first lines of HTTP's `POST` do.
fn is_of_http(args: Args<'_>) -> bool {
    args.is(0, "post") || args.is(0, "host:")
}

/// Commands that `MULTI` does not queue.
fn runs_inside_multi(name: &str) -> bool {
    matches!(name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Whether `SCRIPT DEBUG` is about this command.
fn can_be_debugged(name: &str) -> bool {
    matches!(name, "eval" | "eval_ro" | "fcall" | "fcall_ro")
}

/// Commands a RESP2 subscriber may send.
fn allowed_while_subscribed(name: &str) -> bool {
    matches!(
        name,
        "ping"
            | "subscribe"
            | "ssubscribe"
            | "sunsubscribe"
            | "psubscribe"
            | "unsubscribe"
            | "punsubscribe"
            | "quit"
            | "reset"
    )
}
