// BullMQ with a handler that does nothing: `noop.mjs MODULES PORT JOBS CONCURRENCY` prints jobs a second, add excluded.
import { createRequire } from 'node:module';

const [, , modules, port, count, concurrency] = process.argv;
const { Queue, Worker } = createRequire(modules)('bullmq');
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue('noop', { connection });
const total = Number(count);

for (let at = 0; at < total; at += 1000) {
  await queue.addBulk(Array.from({ length: Math.min(1000, total - at) }, (_, i) => ({ name: 'n', data: { i: at + i } })));
}
let done = 0;
let began;
await new Promise((resolve) => {
  const worker = new Worker('noop', async () => {}, { connection, concurrency: Number(concurrency), autorun: false });
  worker.on('completed', () => { if (++done === total) resolve(); });
  worker.waitUntilReady().then(() => { began = performance.now(); worker.run(); });
});
console.log(JSON.stringify(total / ((performance.now() - began) / 1000)));
process.exit(0);
