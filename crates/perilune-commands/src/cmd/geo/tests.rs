//! Geo commands through an engine.

use crate::test_support::TestEngine;

fn sicily() -> (TestEngine, crate::session::ClientSlot) {
    let mut server = TestEngine::new();
    let client = server.client();
    let added =
        server.run(client, "GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    assert_eq!(added, ":2\r\n");
    (server, client)
}

#[test]
fn positions_and_distances() {
    let (mut server, client) = sicily();
    for (command, reply) in [
        ("GEODIST k Palermo Catania km", "$8\r\n166.2742\r\n"),
        ("GEODIST k Palermo Palermo", "$6\r\n0.0000\r\n"),
        ("GEODIST k Palermo nowhere", "$-1\r\n"),
        (
            "GEOPOS k Palermo nowhere",
            "*2\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n*-1\r\n",
        ),
        ("GEOHASH k Catania", "*1\r\n$11\r\nsqdtr74hyu0\r\n"),
        ("ZSCORE k Palermo", "$16\r\n3479099956230698\r\n"),
        ("GEOADD k 181 0 x", "-ERR invalid longitude,latitude pair 181.000000,0.000000\r\n"),
        ("GEOADD k NX XX 1 1 x", "-ERR syntax error\r\n"),
        ("GEOADD k CH XX 13.5 38 Palermo", ":1\r\n"),
    ] {
        assert_eq!(server.run(client, command), reply, "{command}");
    }
    server.run(client, "HELLO 3");
    assert_eq!(
        server.run(client, "GEOPOS k Catania nowhere"),
        "*2\r\n*2\r\n,15.08726745843887329\r\n,37.50266842333162032\r\n_\r\n"
    );
}

#[test]
fn circles_and_boxes() {
    let (mut server, client) = sicily();
    let both = "*2\r\n$7\r\nPalermo\r\n$7\r\nCatania\r\n";
    for (command, reply) in [
        ("GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km DESC", both),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX 400 400 km ASC", both),
        ("GEORADIUS k 15 37 100 km WITHDIST", "*1\r\n*2\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n"),
        ("GEORADIUSBYMEMBER_RO k Palermo 200 km COUNT 1", "*1\r\n$7\r\nPalermo\r\n"),
        ("GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 1 m", "*0\r\n"),
        ("GEOSEARCH missing FROMLONLAT 0 0 BYRADIUS 1 m", "*0\r\n"),
        ("GEORADIUS_RO k 0 0 1 m STORE x", "-ERR syntax error\r\n"),
        ("GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 1 ly", {
            "-ERR unsupported unit provided. please use M, KM, FT, MI\r\n"
        }),
        ("GEOSEARCH k FROMMEMBER x BYRADIUS 1 m", {
            "-ERR could not decode requested zset member\r\n"
        }),
        ("GeoSearch k BYRADIUS 1 m ASC COUNT 1", {
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GeoSearch\r\n"
        }),
    ] {
        assert_eq!(server.run(client, command), reply, "{command}");
    }
}

#[test]
fn results_are_stored_or_the_key_is_removed() {
    let (mut server, client) = sicily();
    let dirty = server.engine.dirty;
    for (command, reply) in [
        ("GEOSEARCHSTORE to k FROMLONLAT 15 37 BYRADIUS 200 km", ":2\r\n"),
        ("ZSCORE to Palermo", "$16\r\n3479099956230698\r\n"),
        ("GEORADIUS k 15 37 200 km STOREDIST to COUNT 1", ":1\r\n"),
        ("ZRANGE to 0 -1 WITHSCORES", "*2\r\n$7\r\nCatania\r\n$16\r\n56.4412578701582\r\n"),
        ("GEORADIUS missing 15 37 200 km STORE to", ":0\r\n"),
        ("EXISTS to", ":0\r\n"),
    ] {
        assert_eq!(server.run(client, command), reply, "{command}");
    }
    assert_eq!(server.engine.dirty, dirty + 2 + 1 + 1);
}

#[test]
fn keys_of_a_search_that_stores() {
    let (mut server, client) = sicily();
    assert_eq!(
        server.run(client, "COMMAND GETKEYS GEORADIUS k 1 1 1 m STORE to"),
        "*2\r\n$1\r\nk\r\n$2\r\nto\r\n"
    );
    assert_eq!(
        server.run(client, "COMMAND GETKEYS GEOSEARCHSTORE to k FROMLONLAT 1 1 BYRADIUS 1 m"),
        "*2\r\n$2\r\nto\r\n$1\r\nk\r\n"
    );
}
