// How many jobs a second BullMQ takes: `add.mjs MODULES PORT JOBS WARM UNDER_WAY`, first in bulks of 1000, then one by one, pipelined.
import { createRequire } from 'node:module';

const [, , modules, port, ...numbers] = process.argv;
const [total, warm, underWay] = numbers.map(Number);
const { Queue } = createRequire(modules)('bullmq');
const queue = new Queue('add', { connection: { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null } });
const CODE = 'console.log("hello");\n';
await queue.waitUntilReady();

async function bulk(count) {
  for (let at = 0; at < count; at += 1000) {
    await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: 'n', data: { code: CODE } })));
  }
}
async function single(count) {
  let next = 0;
  await Promise.all(Array.from({ length: underWay }, async () => { while (next++ < count) await queue.add('n', { code: CODE }); }));
}
async function rate(adding) {
  await adding(warm);
  const began = performance.now();
  await adding(total);
  return total / ((performance.now() - began) / 1000);
}
console.log(JSON.stringify({ bulk: await rate(bulk), single: await rate(single) }));
process.exit(0);
