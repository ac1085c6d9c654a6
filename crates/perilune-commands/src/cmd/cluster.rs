//! The commands of a cluster node. This server is never one, so each of them is answered as by a
//! Redis with `cluster-enabled no`.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "asking",
        arity: 1,
        flags: "fast",
        acl: "connection",
        since: "3.0.0",
        group: "cluster",
        complexity: "O(1)",
        summary: "Lets the next command pass while its slot is being imported.",
        handler: disabled,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "cluster",
        arity: -2,
        since: "3.0.0",
        group: "cluster",
        complexity: "depends on the subcommand",
        summary: "Commands of a cluster node; see its subcommands.",
        subcommands: &[
            CommandSpec {
                name: "addslots",
                arity: -3,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of slots",
                summary: "Gives slots to this node.",
                args: "slot:int...",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "addslotsrange",
                arity: -4,
                flags: "admin stale no_async_loading",
                since: "7.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of slots",
                summary: "Gives ranges of slots to this node.",
                args: "range={start-slot:int end-slot:int}...",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "bumpepoch",
                arity: 2,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Moves the configuration epoch of the cluster on.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "count-failure-reports",
                arity: 3,
                flags: "admin stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of reports",
                summary: "Counts the reports that call a node failing.",
                args: "node-id",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "countkeysinslot",
                arity: 3,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Counts the keys of a slot.",
                args: "slot:int",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "delslots",
                arity: -3,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of slots",
                summary: "Takes slots away from this node.",
                args: "slot:int...",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "delslotsrange",
                arity: -4,
                flags: "admin stale no_async_loading",
                since: "7.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of slots",
                summary: "Takes ranges of slots away from this node.",
                args: "range={start-slot:int end-slot:int}...",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "failover",
                arity: -2,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Makes a replica take the place of its master.",
                args: "[options=(FORCE|TAKEOVER)]",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "flushslots",
                arity: 2,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Takes all slots away from this node.",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "forget",
                arity: 3,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Removes a node from the table of nodes.",
                args: "node-id",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "getkeysinslot",
                arity: 4,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of keys asked for",
                summary: "Lists keys of a slot.",
                args: "slot:int count:int",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: "loading stale",
                since: "5.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Explains the subcommands of CLUSTER.",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "info",
                arity: 2,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Describes the state of the cluster as this node sees it.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "keyslot",
                arity: 3,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the length of the key",
                summary: "Computes the slot of a key.",
                args: "key",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "links",
                arity: 2,
                flags: "stale",
                since: "7.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of nodes",
                summary: "Lists the links to other nodes.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "meet",
                arity: -4,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Introduces another node.",
                args: "ip port:int [cluster-bus-port:int@4.0.0]",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "myid",
                arity: 2,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Names this node.",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "myshardid",
                arity: 2,
                flags: "stale",
                since: "7.2.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Names the shard of this node.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "nodes",
                arity: 2,
                flags: "stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of nodes",
                summary: "Describes the nodes in the format of the nodes file.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "replicas",
                arity: 3,
                flags: "admin stale",
                since: "5.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of replicas",
                summary: "Lists the replicas of a master.",
                args: "node-id",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "replicate",
                arity: 3,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Makes this node the replica of a master.",
                args: "node-id",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "reset",
                arity: -2,
                flags: "admin noscript stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of nodes",
                summary: "Makes this node forget the cluster.",
                args: "[reset-type=(HARD|SOFT)]",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "saveconfig",
                arity: 2,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Writes the nodes file.",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "set-config-epoch",
                arity: 3,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Sets the configuration epoch of a fresh node.",
                args: "config-epoch:int",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "setslot",
                arity: -4,
                flags: "admin stale no_async_loading",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(1)",
                summary: "Binds a slot to a node, or marks it as moving.",
                args: "slot:int subcommand=(IMPORTING importing<node-id>|MIGRATING migrating<node-id>|NODE node<node-id>|STABLE)",
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "shards",
                arity: 2,
                flags: "loading stale",
                since: "7.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of nodes",
                summary: "Maps slots to shards.",
                tips: &["nondeterministic_output"],
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "slaves",
                arity: 3,
                flags: "admin stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of replicas",
                summary: "Lists the replicas of a master (older name of REPLICAS).",
                args: "node-id",
                tips: &["nondeterministic_output"],
                deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
                handler: disabled,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "slots",
                arity: 2,
                flags: "loading stale",
                since: "3.0.0",
                group: "cluster",
                complexity: "O(N) with N the number of nodes",
                summary: "Maps slots to nodes.",
                tips: &["nondeterministic_output"],
                deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
                handler: disabled,
                ..CommandSpec::EMPTY
            },
        ],
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "readonly",
        arity: 1,
        flags: "loading stale fast",
        acl: "connection",
        since: "3.0.0",
        group: "cluster",
        complexity: "O(1)",
        summary: "Lets this connection read from a cluster replica.",
        handler: disabled,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "readwrite",
        arity: 1,
        flags: "loading stale fast",
        acl: "connection",
        since: "3.0.0",
        group: "cluster",
        complexity: "O(1)",
        summary: "Ends READONLY.",
        handler: disabled,
        ..CommandSpec::EMPTY
    },
];

fn disabled(_: &mut Ctx<'_>, _: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    Err(errors::CLUSTER_DISABLED)
}
