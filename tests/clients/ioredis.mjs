// ioredis against a server: defineCommand, pipelines, transactions, publish/subscribe.
// Arguments: the port and the folder of the example scripts. Exits with an error if anything is wrong.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Redis from 'ioredis';

const port = Number(process.argv[2]);
const example = (name) => readFileSync(join(process.argv[3], name), 'utf8');

const client = new Redis({ port, lazyConnect: true, maxRetriesPerRequest: 1 });
await client.connect();
await client.flushall();

// A command made of a script: EVALSHA, with EVAL when it is not cached.
client.defineCommand('countUp', { numberOfKeys: 1, lua: example('counter.lua') });
client.defineCommand('pushIfExists', { numberOfKeys: 2, lua: example('push_if_exists.lua') });
assert.equal(await client.countUp('counter'), 1);
assert.equal(await client.countUp('counter'), 2);
await client.script('FLUSH');
assert.equal(await client.countUp('counter'), 3);
assert.equal(await client.pushIfExists('counter', 'list', 'x'), 1);
assert.equal(await client.pushIfExists('none', 'list', 'x'), 0);

// In a pipeline; replies come in the order of the commands.
const pipeline = client.pipeline();
for (let i = 0; i < 300; i += 1) pipeline.countUp('counter');
pipeline.get('counter').incr('list').lrange('list', 0, -1);
const replies = await pipeline.exec();
for (let i = 0; i < 300; i += 1) assert.deepEqual(replies[i], [null, 4 + i]);
assert.deepEqual(replies[300], [null, '303']);
assert.match(replies[301][0].message, /^WRONGTYPE/);
assert.deepEqual(replies[302], [null, ['x']]);

// With the cache emptied before: what failed with NOSCRIPT is sent again with its text.
await client.script('FLUSH');
const again = await client.pipeline().countUp('counter').countUp('counter').exec();
assert.deepEqual(again, [[null, 304], [null, 305]]);

// A transaction.
const results = await client.multi().set('a', '1').incr('a').countUp('counter').exec();
assert.deepEqual(results, [[null, 'OK'], [null, 2], [null, 306]]);

// A waiting client and a subscriber.
const waiting = client.duplicate();
const popped = waiting.blpop('queue', 0);
const subscriber = client.duplicate();
await subscriber.subscribe('news');
const message = new Promise((resolve) => subscriber.once('message', (channel, text) => resolve([channel, text])));
assert.equal(await client.rpush('queue', 'job'), 1);
assert.deepEqual(await popped, ['queue', 'job']);
assert.equal(await client.publish('news', 'hello'), 1);
assert.deepEqual(await message, ['news', 'hello']);

// Functions.
assert.equal(await client.function('LOAD', 'REPLACE', example('mylib.lua')), 'mylib');
assert.equal(await client.fcall('ZADDINCR', 1, 'seen', 'a', 'b'), 2);
assert.equal(await client.fcall_ro('zSumScore', 1, 'seen'), 2);

for (const one of [client, waiting, subscriber]) one.disconnect();
