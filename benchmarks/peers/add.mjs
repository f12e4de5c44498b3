// How many jobs a second BullMQ takes: `add.mjs MODULES PORT JOBS`, first in bulks of 1000, then one by one, pipelined.
import { createRequire } from 'node:module';

const [, , modules, port, count] = process.argv;
const { Queue } = createRequire(modules)('bullmq');
const queue = new Queue('add', { connection: { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null } });
const total = Number(count);
const CODE = 'console.log("hello");\n';
await queue.waitUntilReady();
await queue.add('n', { code: CODE });

async function rate(adding) {
  const began = performance.now();
  await adding();
  return total / ((performance.now() - began) / 1000);
}
const bulk = await rate(async () => {
  for (let at = 0; at < total; at += 1000) {
    await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: 'n', data: { code: CODE } })));
  }
});
const single = await rate(async () => {
  // 64 under way at once, as ours are.
  let next = 0;
  await Promise.all(Array.from({ length: 64 }, async () => { while (next++ < total) await queue.add('n', { code: CODE }); }));
});
console.log(JSON.stringify({ bulk, single }));
process.exit(0);
