//! What is measured: one row per command or script.
//!
//! Words of a request may hold placeholders: `{rand}` is a random number below [`KEYS`] with twelve
//! digits, `{value}` 16 random letters, `{i}` the number of a preloaded request.

/// How many distinct keys, members and fields the requests draw from.
pub(super) const KEYS: u64 = 100_000;

/// A command or script with everything needed to measure it.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) pipelines: &'static [usize],
    pub(super) preload: Preload,
    pub(super) work: Work,
}

/// The data that is there before the first request.
pub(super) enum Preload {
    Nothing,
    /// One request, repeated this many times.
    Repeat(u64, &'static [&'static str]),
}

/// What a request asks for.
pub(super) enum Work {
    Command(&'static [&'static str]),
    Script(Script),
}

/// A script, called in one or several ways.
pub(super) struct Script {
    pub(super) forms: &'static [Form],
    pub(super) body: &'static str,
    pub(super) keys: &'static [&'static str],
    pub(super) args: &'static [&'static str],
    /// A command sent before each call, where the script consumes what it finds.
    pub(super) before: Option<&'static [&'static str]>,
}

/// The ways to call a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Eval,
    EvalSha,
    Fcall,
}

impl Form {
    pub(super) fn command(self) -> &'static str {
        match self {
            Form::Eval => "EVAL",
            Form::EvalSha => "EVALSHA",
            Form::Fcall => "FCALL",
        }
    }
}

const ALL_FORMS: &[Form] = &[Form::Eval, Form::EvalSha, Form::Fcall];
const CACHED: &[Form] = &[Form::EvalSha, Form::Fcall];
const EVALSHA: &[Form] = &[Form::EvalSha];
const SHALLOW_AND_DEEP: &[usize] = &[1, 16, 100];

const fn command(name: &'static str, request: &'static [&'static str]) -> Case {
    Case { name, pipelines: &[16], preload: Preload::Nothing, work: Work::Command(request) }
}

const fn script(
    name: &'static str,
    forms: &'static [Form],
    body: &'static str,
    keys: &'static [&'static str],
    args: &'static [&'static str],
) -> Case {
    let script = Script { forms, body, keys, args, before: None };
    Case { name, pipelines: &[16], preload: Preload::Nothing, work: Work::Script(script) }
}

/// Every case, in the order of the report.
pub(super) const CASES: &[Case] = &[
    Case { pipelines: SHALLOW_AND_DEEP, ..command("ping", &["PING"]) },
    Case { pipelines: SHALLOW_AND_DEEP, ..command("set", &["SET", "key:{rand}", "{value}"]) },
    Case {
        pipelines: SHALLOW_AND_DEEP,
        preload: Preload::Repeat(KEYS, &["SET", "key:{i}", "{value}"]),
        ..command("get", &["GET", "key:{rand}"])
    },
    command("incr", &["INCR", "counter:{rand}"]),
    command("lpush", &["LPUSH", "list", "{value}"]),
    Case {
        preload: Preload::Repeat(100, &["RPUSH", "list", "{value}"]),
        ..command("lrange-100", &["LRANGE", "list", "0", "99"])
    },
    command("sadd", &["SADD", "set", "member:{rand}"]),
    command("hset", &["HSET", "hash", "field:{rand}", "{value}"]),
    command("zadd", &["ZADD", "zset", "{rand}", "member:{rand}"]),
    Case {
        preload: Preload::Repeat(KEYS, &["ZADD", "zset", "{i}", "member:{i}"]),
        ..command("zrangebyscore", &["ZRANGEBYSCORE", "zset", "{rand}", "+inf", "LIMIT", "0", "10"])
    },
    Case {
        preload: Preload::Repeat(50, &["HSET", "hash", "field:{i}", "{value}"]),
        ..command("hgetall-50", &["HGETALL", "hash"])
    },
    Case {
        preload: Preload::Repeat(1000, &["RPUSH", "list", "{value}"]),
        ..command("lpos-1000", &["LPOS", "list", "missing"])
    },
    Case {
        preload: Preload::Repeat(
            200,
            &[
                "EVAL",
                "redis.call('SADD', KEYS[1 + ARGV[1] % 2], ARGV[1])
                 redis.call('SADD', KEYS[1], ARGV[1])",
                "2",
                "set:a",
                "set:b",
                "{i}",
            ],
        ),
        ..command("sinter-200", &["SINTER", "set:a", "set:b"])
    },
    command("xadd", &["XADD", "stream", "*", "field", "{value}"]),
    Case {
        preload: Preload::Repeat(1000, &["XADD", "stream", "*", "field", "{value}"]),
        ..command("xrange-100", &["XRANGE", "stream", "-", "+", "COUNT", "100"])
    },
    Case {
        // A square of 0.1 degrees, about 11 km a side.
        preload: Preload::Repeat(10_000, &["GEOADD", "geo", "{rand}e-6", "{rand}e-6", "m:{i}"]),
        ..command(
            "geosearch",
            &["GEOSEARCH", "geo", "FROMLONLAT", "0.05", "0.05", "BYRADIUS", "500", "m"],
        )
    },
    command("pfadd", &["PFADD", "hll", "member:{rand}"]),
    Case {
        preload: Preload::Repeat(768, &["APPEND", "bits", "{value}"]),
        ..command("bitcount-12kb", &["BITCOUNT", "bits"])
    },
    Case { pipelines: &[1, 16], ..script("return-1", ALL_FORMS, "return 1", &[], &[]) },
    Case {
        pipelines: &[1, 16],
        preload: Preload::Repeat(KEYS, &["SET", "key:{i}", "{value}"]),
        ..script("one-get", ALL_FORMS, "return redis.call('GET', KEYS[1])", &["key:{rand}"], &[])
    },
    script(
        "rate-limit",
        CACHED,
        "local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
         local current = redis.call('INCR', KEYS[1])
         if current == 1 then redis.call('EXPIRE', KEYS[1], window) end
         if current > limit then return 0 end
         return 1",
        &["limit:{rand}"],
        &["5", "60"],
    ),
    Case {
        work: Work::Script(Script {
            forms: CACHED,
            body: "if redis.call('GET', KEYS[1]) == ARGV[1] then
                       return redis.call('DEL', KEYS[1])
                   end
                   return 0",
            keys: &["lock:{rand}"],
            args: &["owner"],
            before: Some(&["SET", "lock:{rand}", "owner"]),
        }),
        ..script("set+delete-if-equal", CACHED, "", &[], &[])
    },
    Case {
        pipelines: &[1, 16],
        ..script(
            "100-incrs",
            EVALSHA,
            "local n = 0
             for i = 1, 100 do n = redis.call('INCR', KEYS[1]) end
             return n",
            &["counter:{rand}"],
            &[],
        )
    },
    Case {
        pipelines: &[1, 16],
        ..script(
            "10k-loop",
            EVALSHA,
            "local sum = 0
             for i = 1, 10000 do sum = sum + i % 7 end
             return sum",
            &[],
            &[],
        )
    },
    script(
        "100-element-table",
        EVALSHA,
        "local t = {}
         for i = 1, 100 do t[i] = i end
         return t",
        &[],
        &[],
    ),
    script(
        "text",
        EVALSHA,
        "local id = tonumber(ARGV[1]:match('^user:(%d+)$'))
         return string.format('%s/%04d', 'shard:' .. id % 16, id)",
        &[],
        &["user:{rand}"],
    ),
    script(
        "cjson",
        EVALSHA,
        "local order = cjson.decode(ARGV[1])
         order.total = order.total + 1
         return cjson.encode(order)",
        &[],
        &[
            r#"{"id":"{value}","total":12.5,"paid":true,"note":null,"lines":[{"sku":"a-1","n":2},{"sku":"b-2","n":1}],"tags":["new","fast"]}"#,
        ],
    ),
];
