// BullMQ doing what TLO's own figures do on Redis; prints one JSON line.
//
// node run.js HOST PORT TASKS CALLERS CONCURRENCY: CALLERS of 0 means bulks of a thousand.
const { Queue, Worker } = require("bullmq");

const [host, port, ...rest] = process.argv.slice(2);
const [tasks, callers, concurrency] = rest.map(Number);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const BULK = 1000;

// A JSON payload of about 100 bytes.
const email = (number) => ({ number, to: "ada@example.org", text: "thank you for your order, it is on its way" });

async function submit(queue) {
  if (callers === 0) {
    for (let first = 0; first < tasks; first += BULK) {
      const bulk = [];
      for (let number = first; number < Math.min(tasks, first + BULK); number++) bulk.push({ name: "email", data: email(number) });
      await queue.addBulk(bulk);
    }
    return;
  }
  let next = 0;
  const call = async () => {
    while (next < tasks) await queue.add("email", email(next++));
  };
  await Promise.all(Array.from({ length: callers }, call));
}

async function main() {
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  const started = performance.now();
  await submit(queue);
  const submitted = performance.now() - started;
  let left = tasks;
  // Finished jobs are kept, as a queue with records keeps them.
  await new Promise((done) => {
    const worker = new Worker("bench", async () => {}, { connection, concurrency });
    worker.on("completed", () => {
      left -= 1;
      if (left === 0) done();
    });
  });
  const all = performance.now() - started;
  const usage = process.cpuUsage();
  const rate = (ms) => tasks / (ms / 1000);
  console.log(
    JSON.stringify({
      system: "BullMQ 6.7", submit: callers === 0 ? "bulk of 1000" : `single, ${callers} callers`, payload: "about 100 bytes",
      tasks, concurrency, in_per_s: rate(submitted), out_per_s: rate(all - submitted), whole_per_s: rate(all),
      us_cpu: (usage.user + usage.system) / tasks,
    }),
  );
  process.exit(0);
}

main();
