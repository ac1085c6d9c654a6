//! The checks on the road of a command, and logins.

use super::log::{Context, LogEntry};
use super::selector::{Access, Denial, Reason, Request};
use crate::args::Args;
use crate::cmd::client::describe;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use crate::table::CommandId;
use std::sync::Arc;

impl Engine {
    /// Whether the client must log in before it may do anything.
    pub fn auth_required(&self, client: ClientSlot) -> bool {
        !self.acl.default_user().is_open()
            && self.sessions.get(client).is_none_or(|session| !session.authenticated)
    }

    /// Whether a client's user may run a command; without a trace.
    fn permits(&self, client: ClientSlot, id: CommandId, args: Args<'_>) -> Result<(), Denial> {
        let Some(session) = self.sessions.get(client) else {
            return Err(Denial { reason: Reason::Command, index: 0 });
        };
        match session.is_unrestricted() {
            true => Ok(()),
            false => session.user().check(&mut Request::new(&self.commands, id, args)),
        }
    }

    /// Whether the caller of the running script may run a command.
    pub(crate) fn script_may_run(&self, id: CommandId, args: Args<'_>) -> bool {
        self.permits(ClientSlot::SCRIPT, id, args).is_ok()
    }

    /// Whether a client may run a command that also reads keys which its arguments do not name.
    pub(crate) fn may_read_every_key(
        &self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
    ) -> bool {
        self.sessions.get(client).is_some_and(|session| {
            let mut request = Request::new(&self.commands, id, args);
            session.is_unrestricted()
                || session.user().check_with_every_key(&mut request, Access::READ)
        })
    }

    /// Checks the command of a client whose user may not do everything.
    #[cold]
    pub(crate) fn check_rights(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let Err(denial) = self.permits(client, id, args) else { return Ok(()) };
        let context = self.client_context(client);
        self.note_denial(client, id, args, denial, context);
        Err(errors::no_permission(&self.denial_text(client, id, denial)))
    }

    /// Checks a command that a script calls for a user who may not do everything.
    #[cold]
    pub(crate) fn check_script_rights(
        &mut self,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let client = ClientSlot::SCRIPT;
        let Err(denial) = self.permits(client, id, args) else { return Ok(()) };
        self.note_denial(client, id, args, denial, Context::Script);
        Err(errors::script_acl_failure(&self.denial_text(client, id, denial)))
    }

    /// Checks a queued command once more when it is its turn.
    pub(crate) fn check_queued_rights(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let Err(denial) = self.permits(client, id, args) else { return Ok(()) };
        self.note_denial(client, id, args, denial, Context::Multi);
        Err(errors::queued_no_permission(denial.reason))
    }

    fn denial_text(&self, client: ClientSlot, id: CommandId, denial: Denial) -> String {
        let user = self.sessions.get(client).map(|session| session.user().name());
        errors::acl_denial(denial.reason, user.unwrap_or_default(), self.commands.get(id).full_name)
    }

    fn client_context(&self, client: ClientSlot) -> Context {
        match self.sessions.get(client) {
            Some(session) if session.transaction_len().is_some() => Context::Multi,
            _ => Context::Toplevel,
        }
    }

    fn note_denial(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        args: Args<'_>,
        denial: Denial,
        context: Context,
    ) {
        let Some(session) = self.sessions.get(client) else { return };
        let username = session.user().name().to_vec();
        let object = match denial.reason {
            Reason::Command => self.commands.get(id).full_name.as_bytes().to_vec(),
            _ => args.get(denial.index).unwrap_or_default().to_vec(),
        };
        self.record_refusal(client, denial.reason, context, object, username);
    }

    fn record_refusal(
        &mut self,
        client: ClientSlot,
        reason: Reason,
        context: Context,
        object: Vec<u8>,
        username: Vec<u8>,
    ) {
        let counts = &mut self.acl.denied;
        *match reason {
            Reason::Command => &mut counts.command,
            Reason::Key => &mut counts.key,
            Reason::Auth => &mut counts.auth,
            Reason::Channel => &mut counts.channel,
        } += 1;
        let now_ms = self.now_ms();
        let seen = self.current_client.unwrap_or(client);
        let client_info = self.sessions.get(seen).map(|session| describe(session, now_ms));
        let entry = LogEntry {
            id: 0,
            count: 0,
            reason,
            context,
            object,
            username,
            client_info: client_info.unwrap_or_default(),
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        self.acl.log.add(entry, self.config.acllog_max_len);
    }

    /// Logs a client in. `command` is the name that the command for this was sent with.
    pub(crate) fn authenticate(
        &mut self,
        client: ClientSlot,
        name: &[u8],
        password: &[u8],
        command: &[u8],
    ) -> Result<(), CommandError> {
        let user = self.acl.get(name).filter(|user| user.accepts(password));
        let Some(user) = user.map(Arc::clone) else {
            let context = self.client_context(client);
            self.record_refusal(client, Reason::Auth, context, command.to_vec(), name.to_vec());
            return Err(errors::WRONGPASS);
        };
        if let Some(session) = self.sessions.get_mut(client) {
            session.authenticated = true;
            session.set_user(user);
        }
        Ok(())
    }

    /// Makes a client a new one for access control.
    pub(crate) fn forget_login(&mut self, client: ClientSlot) {
        let user = Arc::clone(self.acl.default_user());
        if let Some(session) = self.sessions.get_mut(client) {
            session.authenticated = user.is_open();
            session.set_user(user);
        }
    }
}
