//! What clients are told about commands, on rows made for it.

use super::*;
use perilune_resp::{Protocol, RespWriter};

const STORE: KeySpec = KeySpec {
    flags: "OW update",
    begin: BeginSearch::Keyword("STORE", 2),
    find: FindKeys::Range { last: 0, step: 1, limit: 0 },
    notes: "only sometimes",
};

const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "copyall",
        arity: -3,
        flags: "write denyoom movablekeys",
        acl: "string",
        keys: &[KeySpec::keynum("access RO", 1), STORE],
        since: "7.0.0",
        group: "string",
        summary: "Copies.",
        args: "numkeys:int key:key... [STORE target<key>@7.2.0]",
        tips: &["nondeterministic_output"],
        history: &[("7.2.0", "stores")],
        deprecated: Some(("8.0.0", "nothing")),
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "box",
        arity: -2,
        subcommands: &[CommandSpec {
            name: "open",
            arity: 2,
            flags: "fast admin syscmd",
            group: "server",
            complexity: "O(1)",
            args: "how=(WIDE|block={a b})",
            ..CommandSpec::EMPTY
        }],
        ..CommandSpec::EMPTY
    },
];

/// A reply with its line ends taken out of sight.
fn reply(
    protocol: Protocol,
    name: &str,
    write: fn(&CommandTable, CommandId, &mut dyn ReplyWriter),
) -> String {
    let table = CommandTable::new(&[ROWS]).expect("the rows fit");
    let id = table.by_full_name(name.as_bytes()).expect(name);
    let mut bytes = Vec::new();
    write(&table, id, &mut RespWriter::new(&mut bytes, protocol));
    String::from_utf8(bytes).expect("text").replace("\r\n", " ")
}

#[test]
fn info_has_ten_parts() {
    let expected = "*10 $7 copyall :-3 ~3 +write +denyoom +movablekeys :0 :0 :0 \
        ~3 +@write +@string +@slow ~1 $23 nondeterministic_output ~2 \
        %3 $5 flags ~2 +RO +access \
        $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
        $9 find_keys %2 $4 type $6 keynum $4 spec %3 $9 keynumidx :0 $8 firstkey :1 $7 keystep :1 \
        %4 $5 notes $14 only sometimes $5 flags ~2 +OW +update \
        $12 begin_search %2 $4 type $7 keyword $4 spec %2 $7 keyword $5 STORE $9 startfrom :2 \
        $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 \
        ~0 ";
    assert_eq!(reply(Protocol::Resp3, "copyall", write_info), expected);
    let flat = expected.replace('~', "*").replace("%1", "*2").replace("%2", "*4");
    let flat = flat.replace("%3", "*6").replace("%4", "*8");
    assert_eq!(reply(Protocol::Resp2, "copyall", write_info), flat);
}

#[test]
fn info_of_a_container_holds_its_subcommands() {
    assert_eq!(
        reply(Protocol::Resp3, "box", write_info),
        "*10 $3 box :-2 ~0 :0 :0 :0 ~1 +@slow ~0 ~0 *1 \
         *10 $8 box|open :2 ~2 +admin +fast :0 :0 :0 ~3 +@admin +@fast +@dangerous ~0 ~0 ~0 "
    );
}

#[test]
fn docs_tell_only_what_there_is() {
    assert_eq!(
        reply(Protocol::Resp3, "copyall", write_docs),
        "%8 $7 summary $7 Copies. $5 since $5 7.0.0 $5 group $6 string \
         $9 doc_flags ~1 +deprecated $16 deprecated_since $5 8.0.0 $11 replaced_by $7 nothing \
         $7 history ~1 *2 $5 7.2.0 $6 stores $9 arguments *3 \
         %3 $4 name $7 numkeys $4 type $7 integer $12 display_text $7 numkeys \
         %5 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 \
         $5 flags ~1 +multiple \
         %6 $4 name $6 target $4 type $6 string $12 display_text $3 key $5 token $5 STORE \
         $5 since $5 7.2.0 $5 flags ~1 +optional "
    );
}

#[test]
fn docs_nest_subcommands_and_alternatives() {
    assert_eq!(
        reply(Protocol::Resp3, "box", write_docs),
        "%3 $5 since $5 1.0.0 $5 group $7 generic $11 subcommands %1 $8 box|open \
         %5 $5 since $5 1.0.0 $5 group $6 server $10 complexity $4 O(1) \
         $9 doc_flags ~1 +syscmd $9 arguments *1 \
         %3 $4 name $3 how $4 type $5 oneof $9 arguments *2 \
         %4 $4 name $4 wide $4 type $10 pure-token $12 display_text $4 wide $5 token $4 WIDE \
         %3 $4 name $5 block $4 type $5 block $9 arguments *2 \
         %3 $4 name $1 a $4 type $6 string $12 display_text $1 a \
         %3 $4 name $1 b $4 type $6 string $12 display_text $1 b "
    );
}

/// Key specs an argument or one of its parts refers to.
fn references(args: &[ArgSpec<'_>]) -> Vec<u32> {
    let inside = |arg: &ArgSpec<'_>| match &arg.kind {
        ArgKind::OneOf(children) | ArgKind::Block(children) => references(children),
        _ => Vec::new(),
    };
    args.iter().flat_map(|arg| inside(arg).into_iter().chain(arg.key_spec)).collect()
}

#[test]
fn rows_are_documented_and_point_at_their_own_key_specs() {
    let table = CommandTable::new(crate::cmd::GROUPS).expect("the rows fit");
    for (_, command) in table.iter() {
        let (name, spec) = (command.full_name, command.spec);
        assert!(!spec.summary.is_empty(), "{name} has no summary");
        assert_eq!(name, name.to_ascii_lowercase());
        for index in references(&arguments(spec)) {
            assert!((index as usize) < spec.keys.len(), "{name} lacks key spec {index}");
        }
        for word in spec.keys.iter().flat_map(|key| key.flags.split(' ')) {
            assert!(KEY_WORDS.contains(&word), "{name}: '{word}' is no flag of a key");
        }
    }
}

#[test]
fn the_reference_has_an_entry_for_every_command() {
    let page = command_reference().expect("the rows fit");
    let table = CommandTable::new(crate::cmd::GROUPS).expect("the rows fit");
    for (_, command) in table.iter().filter(|(_, command)| !is_pure_container(command)) {
        let heading = command.full_name.to_ascii_uppercase().replace('|', " ");
        assert!(page.contains(&format!("\n### {heading}\n")), "{heading}");
    }
    assert!(page.contains("\n```text\nCOMMAND LIST [FILTERBY <MODULE module-name"));
    assert!(page.starts_with("# Command reference\n\n## "));
}
