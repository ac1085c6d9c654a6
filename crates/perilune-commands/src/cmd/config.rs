//! `CONFIG`: reads and changes the configuration of the running server.

use crate::args::Args;
use crate::cmd::help;
use crate::config::{Config, ConfigError, ParamId, SetContext};
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use crate::spec::CommandSpec;
use perilune_keyspace::EncodingLimits;
use perilune_resp::ReplyWriter;
use perilune_script::LogLevel;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "config",
    arity: -2,
    since: "2.0.0",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Reads and changes the configuration; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "get",
            arity: -3,
            flags: "admin noscript loading stale",
            since: "2.0.0",
            group: "server",
            complexity: "O(N) with N the number of parameters",
            summary: "Reads configuration parameters by name or pattern.",
            args: "parameter...",
            handler: config_get,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "5.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of CONFIG.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "resetstat",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "2.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Sets the statistics back to zero.",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: config_resetstat,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "rewrite",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "2.8.0",
            group: "server",
            complexity: "O(N) with N the number of parameters",
            summary: "Writes the configuration in force to its file.",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: config_rewrite,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "set",
            arity: -4,
            flags: "admin noscript loading stale",
            since: "2.0.0",
            group: "server",
            complexity: "O(N) with N the number of parameters",
            summary: "Changes configuration parameters of the running server.",
            args: "data={parameter value}...",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: config_set,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Tell the parameters whose names match, with their values.",
    "SET <directive> <value>",
    "    Change parameters.",
    "RESETSTAT",
    "    Set the statistics of INFO back to zero.",
    "REWRITE",
    "    Write the values in force to the configuration file.",
];

fn config_get(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let found = ctx.engine.config.matching_any(args.from(2));
    out.map(found.len());
    for (name, value) in found {
        out.bulk(name.as_bytes());
        out.bulk(&value);
    }
    Ok(())
}

fn config_set(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let words = args.from(2);
    if !words.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    ctx.engine.set_config(ctx.client, &pairs)?;
    out.ok();
    Ok(())
}

fn config_resetstat(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    ctx.engine.stats.reset();
    ctx.engine.eviction.reset_times();
    ctx.engine.replication.stats = Default::default();
    ctx.engine.commands.reset_stats();
    ctx.engine.scripting.reset_statistics();
    ctx.engine.acl.denied = Default::default();
    out.ok();
    Ok(())
}

fn config_rewrite(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let Engine { config, env, acl, .. } = &mut *ctx.engine;
    if env.config_file().is_none() {
        return Err(errors::NO_CONFIG_FILE);
    }
    let users = acl.config_lines(config);
    env.rewrite_config_file(&|old| config.rewrite(old, &users))
        .map_err(|reason| errors::config_rewrite(&reason))?;
    out.ok();
    Ok(())
}

impl Engine {
    /// Changes parameters and puts them into effect, all or none.
    fn set_config(
        &mut self,
        client: ClientSlot,
        pairs: &[(&[u8], &[u8])],
    ) -> Result<(), CommandError> {
        let wire = |error: ConfigError| CommandError::owned(error.to_string());
        let local_client = self.sessions.get(client).is_some_and(|session| session.peer.local);
        let before = self.config.clone();
        let loading = self.loads_aside() || self.persistence.loading.is_some();
        let context = SetContext { local_client, loading };
        let changed = self.config.set_many(pairs, context).map_err(wire)?;
        if let Err(refusal) = self.env.apply_config(&self.config, &changed) {
            self.config = before;
            let name = refusal.parameter.name();
            return Err(wire(ConfigError::refused(name, refusal.reason)));
        }
        self.apply_parameters(&before, &changed);
        self.apply_aof_parameters(self.sessions.get(client).is_some_and(|s| s.in_exec));
        Ok(())
    }

    /// Lets changed parameters take effect on what the engine derived from the old ones.
    fn apply_parameters(&mut self, before: &Config, changed: &[ParamId]) {
        // Not a parameter: `DEBUG` sets it.
        let list_packed_threshold = self.limits.list_packed_threshold;
        self.limits = EncodingLimits { list_packed_threshold, ..self.config.encoding_limits() };
        if self.config.slowlog_max_len < before.slowlog_max_len {
            self.slowlog.entries.truncate(self.config.slowlog_max_len);
        }
        if changed.contains(&ParamId::lua_memory_limit) {
            self.scripting.limit_memory(self.config.lua_memory_limit);
        }
        let excess = self.excess_memory();
        if changed.contains(&ParamId::maxmemory) && excess > 0 {
            let message = format!(
                "The new limit maxmemory {} is below the memory in use by {excess} bytes: keys \
                 will be evicted or writes be refused, as maxmemory-policy says.",
                self.config.maxmemory
            );
            self.env.log(LogLevel::Warning, &message);
        }
        if changed.contains(&ParamId::maxmemory_clients) {
            self.recount_clients();
        }
        if changed.contains(&ParamId::maxmemory) {
            self.limit_changed();
        }
        if changed.contains(&ParamId::requirepass) {
            self.change_default_password();
        }
    }
}
