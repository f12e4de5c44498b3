fetch("http://1.1.1.1/").then(
  () => console.log("told everybody"),
  (error) => { console.error(`no way out: ${error.cause.code}`); process.exitCode = 1; },
);
