// BullMQ with the executor of the usual guides: the code into a temporary file, a Node for it, a queue for the results.
// Reads lines `once` on stdin and answers one line of JSON each: milliseconds from add to result.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [, , modules, port] = process.argv;
const { Queue, Worker } = createRequire(modules)('bullmq');
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const CODE = 'console.log("hello");\n';

const jobs = new Queue('jobs', { connection });
const results = new Queue('results', { connection });
const waiting = new Map();

const runner = new Worker('jobs', async (job) => {
  const folder = await mkdtemp(join(tmpdir(), 'guide-'));
  const file = join(folder, 'script.js');
  await writeFile(file, job.data.code);
  const done = await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file]);
    let stdout = '', stderr = '';
    child.stdout.on('data', (piece) => { stdout += piece; });
    child.stderr.on('data', (piece) => { stderr += piece; });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  await rm(folder, { recursive: true });
  await results.add('result', { key: job.data.key, ...done });
}, { connection, concurrency: 2 });
const listener = new Worker('results', async (job) => { waiting.get(job.data.key)(job.data); }, { connection });
await Promise.all([runner.waitUntilReady(), listener.waitUntilReady()]);
console.log('ready');

let number = 0;
async function once() {
  const key = String(++number);
  const began = performance.now();
  const result = new Promise((resolve) => waiting.set(key, resolve));
  await jobs.add('script', { key, code: CODE });
  const { stdout, code } = await result;
  waiting.delete(key);
  if (stdout !== 'hello\n' || code !== 0) throw new Error(`unexpected: ${code} ${stdout}`);
  return performance.now() - began;
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'once') console.log(JSON.stringify(await once()));
  else break;
}
await Promise.all([runner.close(true), listener.close(true), jobs.close(), results.close()]);
process.exit(0);
