// node-redis against a server: functions through fCall and through raw commands, scripts, RESP3.
// Arguments: the port and the folder of the example scripts. Exits with an error if anything is wrong.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, defineScript } from 'redis';

const port = Number(process.argv[2]);
const example = (name) => readFileSync(join(process.argv[3], name), 'utf8');

const scripts = {
  countUp: defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: example('counter.lua'),
    parseCommand(parser, key) {
      parser.pushKey(key);
    },
    transformReply: (reply) => reply,
  }),
};

for (const RESP of [2, 3]) {
  const client = createClient({ socket: { port, reconnectStrategy: false }, RESP, scripts });
  await client.connect();
  await client.flushAll();

  // Scripts.
  assert.equal(await client.countUp('counter'), 1);
  await client.scriptFlush();
  assert.equal(await client.countUp('counter'), 2);
  const replies = await Promise.all(Array.from({ length: 200 }, () => client.countUp('counter')));
  assert.deepEqual(replies, Array.from({ length: 200 }, (_, i) => 3 + i));
  assert.equal(await client.eval('return ARGV[1]', { arguments: ['Hello'] }), 'Hello');

  // Functions.
  assert.equal(await client.sendCommand(['FUNCTION', 'LOAD', 'REPLACE', example('mylib.lua')]), 'mylib');
  assert.equal(await client.fCall('zAddIncr', { keys: ['seen'], arguments: ['a', 'b'] }), 2);
  assert.equal(await client.fCallRo('ZSUMSCORE', { keys: ['seen'] }), 2);
  assert.equal(await client.sendCommand(['FCALL_RO', 'VER', '0']), '7.2.4');
  await client.hSet('doc:1', { key: '陳文公', id: '1' });
  assert.deepEqual(
    await client.fCallRo('scanTextChi', { keys: ['doc:*', 'key', '陳文公'], arguments: ['id', 'key'] }),
    [['1', '陳文公']],
  );
  const [library] = await client.functionList();
  assert.equal(library.library_name, 'mylib');
  assert.equal(library.functions.length, 8);

  // Transactions and data types.
  assert.deepEqual(await client.multi().set('a', '1').incr('a').exec(), ['OK', 2]);
  await client.zAdd('z', [{ value: 'x', score: 1.5 }]);
  assert.deepEqual(await client.zRangeWithScores('z', 0, -1), [{ value: 'x', score: 1.5 }]);
  assert.deepEqual({ ...(await client.hGetAll('doc:1')) }, { key: '陳文公', id: '1' });

  // A subscriber.
  const subscriber = client.duplicate();
  await subscriber.connect();
  let receive;
  const message = new Promise((resolve) => { receive = resolve; });
  await subscriber.subscribe('news', receive);
  assert.equal(await client.publish('news', 'hello'), 1);
  assert.equal(await message, 'hello');
  await subscriber.close();
  await client.close();
}
