"""redis-py against a server: scripts, pipelines with EVALSHA, functions, publish/subscribe, RESP3.

Arguments: the port and the folder of the example scripts. Exits with a traceback if anything is wrong.
"""

import pathlib
import sys

import redis

PORT = int(sys.argv[1])
EXAMPLES = pathlib.Path(sys.argv[2])


def check(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def scripts(client):
    counter = client.register_script((EXAMPLES / "counter.lua").read_text())
    check([counter(keys=["counter"]) for _ in range(3)], [1, 2, 3])
    # The library falls back to loading when the cache was emptied behind its back.
    client.script_flush()
    check(counter(keys=["counter"]), 4)
    check(client.script_exists(counter.sha), [True])

    # A pipeline loads what is missing before it sends EVALSHA.
    client.script_flush()
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(500):
            counter(keys=["counter"], client=pipeline)
        check(pipeline.execute(), list(range(5, 505)))
    with client.pipeline(transaction=True) as pipeline:
        counter(keys=["counter"], client=pipeline)
        pipeline.get("counter")
        check(pipeline.execute(), [505, b"505"])

    try:
        client.evalsha("f" * 40, 0)
        raise AssertionError("an unknown script was run")
    except redis.exceptions.NoScriptError:
        pass
    try:
        client.eval("return redis.call('lpush', KEYS[1], 1)", 1, "counter")
        raise AssertionError("a wrong type was accepted")
    except redis.exceptions.ResponseError as error:
        assert str(error).startswith("WRONGTYPE Operation against a key"), error


def optimistic_locking(client):
    client.set("balance", 10)

    def withdraw(pipeline):
        balance = int(pipeline.get("balance"))
        pipeline.multi()
        pipeline.set("balance", balance - 3)

    client.transaction(withdraw, "balance")
    check(client.get("balance"), b"7")
    with client.pipeline() as pipeline:
        pipeline.watch("balance")
        client.set("balance", 100)
        pipeline.multi()
        pipeline.set("balance", 0)
        try:
            pipeline.execute()
            raise AssertionError("a watched key was changed unseen")
        except redis.WatchError:
            pass


def functions(client):
    check(client.function_load((EXAMPLES / "mylib.lua").read_text(), replace=True), b"mylib")
    check(client.fcall("ZADDINCR", 1, "seen", "a", "b"), 2)
    check(client.fcall("zaddincr", 1, "seen", "a"), 1)
    check(client.fcall_ro("zSumScore", 1, "seen"), 3)
    check(client.fcall_ro("TOFIX", 2, "123.456", "2"), b"123.46")
    dump = client.function_dump()
    client.function_flush("SYNC")
    check(client.function_list(), [])
    client.function_restore(dump)
    check(client.fcall_ro("zSumScore", 1, "seen"), 3)
    client.function_delete("mylib")


def publish_subscribe(client):
    subscriber = client.pubsub()
    subscriber.subscribe("news")
    subscriber.psubscribe("n*")
    for kind in ("subscribe", "psubscribe"):
        check(subscriber.get_message(timeout=10)["type"], kind)
    check(client.publish("news", "hello"), 2)
    messages = [subscriber.get_message(timeout=10) for _ in range(2)]
    check([(m["type"], m["data"]) for m in messages], [("message", b"hello"), ("pmessage", b"hello")])
    subscriber.close()


def data_types(client, resp3):
    client.hset("h", mapping={"a": 1, "b": 2})
    check(client.hgetall("h"), {b"a": b"1", b"b": b"2"})
    client.zadd("z", {"x": 1.5, "y": 2})
    check([list(pair) for pair in client.zrange("z", 0, -1, withscores=True)], [[b"x", 1.5], [b"y", 2.0]])
    client.sadd("s", "m")
    check(set(client.smembers("s")), {b"m"})
    check(client.set("k", "v", ex=100), True)
    assert 0 < client.ttl("k") <= 100
    check(sorted(client.scan_iter(match="[hz]")), [b"h", b"z"])
    if resp3:
        check(client.execute_command("ZSCORE", "z", "x"), 1.5)


def main():
    for protocol in (2, 3):
        client = redis.Redis(port=PORT, protocol=protocol)
        client.flushall()
        scripts(client)
        optimistic_locking(client)
        functions(client)
        publish_subscribe(client)
        data_types(client, protocol == 3)
        client.close()


main()
