'use strict';
// The gate of a Node that is started before its script is known: `node --require GATE GATE` boots, says that it waits,
// takes the job's main file, arguments and environment through descriptor 63, and goes on as `node FILE ARGS` would.
//
// Invariant: Node's own code runs the script, as its main module, with nothing of the gate below it or left behind.
// Never: loads a module of anybody but Node; runs anything but these lines before the script.
{
  const DESCRIPTOR = 63;
  const LONGEST_BYTES = 65536;
  const Module = module.constructor;
  const fs = require('fs');
  const itself = __filename;
  const WARM = `${__dirname}/warm.js`; // an empty script, beside an empty package.json: its way through the loader

  // Each thread of a Worker runs this again, since it inherits the options; there it only removes its traces.
  const execArgv = process.execArgv;
  const at = execArgv.findIndex((word, index) => word === '--require' && execArgv[index + 1] === itself);
  if (at >= 0) execArgv.splice(at, 2);
  try { process._preload_modules.length = 0; } catch { /* later releases have none */ }
  const forget = (file) => {
    delete require.cache[file];
    for (const key of Object.keys(Module._pathCache)) if (key.startsWith(file)) delete Module._pathCache[key];
  };
  forget(itself);

  const readAll = () => {
    const content = Buffer.allocUnsafeSlow(LONGEST_BYTES + 16);
    let length = 0;
    for (;;) {
      let count = 0;
      try { count = fs.readSync(DESCRIPTOR, content, length, content.length - length, null); } catch (error) {
        if (error.code === 'EINTR') continue;
      }
      if (count === 0) process.reallyExit(0); // nobody needs it any more
      length += count;
      const head = content.indexOf(10);
      if (head >= 0 && length >= head + 1 + Number(content.latin1Slice(0, head))) {
        return content.utf8Slice(head + 1, length);
      }
    }
  };

  // The order of variables is kept as well: where it differs, what comes behind is set anew.
  const takeEnvironment = (wanted) => {
    const names = Object.keys(process.env);
    let same = 0;
    while (same < names.length && same < wanted.length && names[same] === wanted[same][0]) same++;
    for (const name of names.slice(same)) delete process.env[name];
    wanted.forEach(([name, value], index) => {
      if (index >= same || process.env[name] !== value) process.env[name] = value;
    });
  };

  // What ps and /proc/PID/cmdline show: the place of the gate's own words, which is as long as it is.
  const placeOfWords = () => {
    const fields = fs.readFileSync('/proc/self/stat', 'latin1').split(') ').pop().split(' ');
    return [Number(fields[45]), Number(fields[46])];
  };
  const showWords = ([start, end], words) => {
    const shown = Buffer.alloc(end - start);
    shown.write(words.join('\0'), 0, shown.length - 1);
    const memory = fs.openSync('/proc/self/mem', 'r+');
    try { fs.writeSync(memory, shown, 0, shown.length, start); } finally { fs.closeSync(memory); }
  };

  if (process.argv[1] === itself) {
    let place;
    try { place = placeOfWords(); } catch { /* a machine that hides it shows the gate's words */ }
    // What nearly every script needs at once, and what comes next here, is compiled while nobody waits for it.
    require('stream');
    require(WARM);
    forget(WARM);
    takeEnvironment(Object.entries(process.env));
    fs.writeSync(DESCRIPTOR, 'R');
    const [count, ...rest] = readAll().split('\0');
    const words = rest.slice(0, Number(count));
    const [main, ...args] = words;
    process.argv.splice(1, process.argv.length, main, ...args);
    takeEnvironment(rest.slice(words.length).map((line) => {
      const sign = line.indexOf('=');
      return [line.slice(0, sign), line.slice(sign + 1)];
    }));
    try { if (place) showWords(place, [process.argv0, ...words]); } catch { /* as above */ }
    fs.writeSync(DESCRIPTOR, 'G');
    fs.closeSync(DESCRIPTOR);

    // Node's next step is Module.runMain(GATE). This accessor removes itself and hands out the real function, bound to
    // the script: so that stack traces end as they always do.
    const runMain = Module.runMain;
    const shape = { writable: true, configurable: true, enumerable: true };
    Object.defineProperty(Module, 'runMain', {
      configurable: true,
      enumerable: true,
      get() {
        Object.defineProperty(Module, 'runMain', { ...shape, value: runMain });
        return runMain.bind(Module, main);
      },
    });
  }
}
