// The smallest job that shows everything: output, progress, a result.
console.log(`hello from job ${process.env.JOB_ID}, attempt ${process.env.JOB_ATTEMPT}`);
process.send({ type: "progress", percentage: 50, stage: "greeting" });
process.send({ type: "result", value: { greeted: "world", node: process.version } });
