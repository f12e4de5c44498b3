"""The small scripts by which each machine's interpreters are tried behind their gate: together they ask for whatever a
gate could have left or changed. What they print must be the same in every run.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A script, its neighbours, arguments and environment."""

    name: str
    files: dict[str, str]
    main: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


_NODE_STATE: Final = """\
const fs = require('fs'), m = require('module');
console.log(process.argv, process.argv0, process.execArgv, process.execPath, process.title, process.cwd());
console.log(require.main === module, module.paths, module.children, Object.keys(require.cache), __filename);
console.log(Object.keys(m), Object.keys(m._pathCache), Object.getOwnPropertyDescriptor(m, 'runMain'), m.globalPaths);
console.log(Object.getOwnPropertyNames(globalThis), Object.getOwnPropertyNames(process), process._preload_modules);
console.log(process.env, typeof process.send, process.connected, fs.readdirSync('/proc/self/fd'));
console.log(process._getActiveHandles().length, process._getActiveRequests().length, process.getActiveResourcesInfo());
console.log(fs.readFileSync('/proc/self/limits', 'latin1').split('\\n').filter((line) => !/pending signals/.test(line)));
console.log(process.eventNames().map(String), process.listenerCount('SIGTERM'), process.umask());
"""
_NODE_CHILDREN: Final = """\
const { fork, spawnSync } = require('child_process'), { Worker, isMainThread } = require('worker_threads');
if (process.argv[2] === 'child') { process.send([process.argv, process.execArgv, process.env, module.children]); }
else {
  console.log(spawnSync('/bin/sh', ['-c', 'ulimit -n; ls /proc/self/fd; env'], { encoding: 'utf8' }).stdout);
  fork(__filename, ['child']).on('message', (said) => {
    console.log(said);
    const thread = 'const w=require("worker_threads");w.parentPort.postMessage([process.execArgv,process.argv,' +
      'Object.keys(require.cache),process._preload_modules])';
    new Worker(thread, { eval: true }).on('message', (heard) => console.log(heard));
  });
}
"""
_PYTHON_STATE: Final = """\
import os, posix, sys
print(sys.argv, sys.orig_argv if hasattr(sys, 'orig_argv') else 0, sys.path, sys.flags, sys.executable, os.getcwd())
print(__name__, __file__, __doc__, __spec__, __package__, __builtins__, type(__loader__), list(globals()))
print(list(sys.modules), sorted(sys.path_importer_cache), [type(one).__name__ for one in sys.meta_path], len(sys.path_hooks), sys.warnoptions)
print(os.environ, posix.environ, sorted(os.listdir('/proc/self/fd')), sys.excepthook is sys.__excepthook__)
print([line for line in open('/proc/self/limits') if 'pending signals' not in line])
print(sys.stdout, sys.stdin, sys.stderr, sys.stdout.line_buffering, sys.stdout.write_through)
import signal, threading
print([signal.getsignal(number) for number in (2, 13, 15)], [thread.name for thread in threading.enumerate()])
"""
_PYTHON_FRAMES: Final = """\
import inspect, sys, traceback, warnings
print(len(inspect.stack()))
traceback.print_stack()
warnings.warn('asked', stacklevel=2)
def deeper(depth):
    try: return deeper(depth + 1)
    except RecursionError: return depth
print(deeper(0))
"""
_PYTHON_CHILDREN: Final = """\
import atexit, multiprocessing, os, subprocess, sys
def tell(): print(sys.argv, __name__, multiprocessing.current_process().name, flush=True)
if __name__ == '__main__':
    atexit.register(print, 'over')
    print(subprocess.run(['/bin/sh', '-c', 'ulimit -n; ls /proc/self/fd; env'], stdout=subprocess.PIPE).stdout.decode())
    print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.path, list(sys.modules))'],
                         stdout=subprocess.PIPE).stdout.decode())
    child = multiprocessing.get_context('spawn').Process(target=tell)
    child.start(); child.join(); sys.exit(child.exitcode + 5)
"""

PROBES: Final[dict[str, tuple[Probe, ...]]] = {
    "node": (
        Probe(name="state.js", files={"state.js": _NODE_STATE}, main="state.js", args=("a", "", "é b"), env={"X": "1"}),
        Probe(
            name="module.mjs",
            files={
                "module.mjs": "import { a } from './other.mjs';\nconsole.log(a, import.meta.url, process.argv,"
                " await Promise.resolve(1), typeof require, typeof module);\nawait new Promise(() => {});\n",
                "other.mjs": "export const a = import.meta.url;\n",
            },
            main="module.mjs",
        ),
        Probe(
            name="throw.js",
            files={
                "throw.js": "process.on('exit', (code) => console.log(code, new Error('e').stack));\n"
                "console.log(new Error('here').stack);\nfunction deep() { throw new TypeError('thrown'); }\ndeep();\n"
            },
            main="throw.js",
        ),
        Probe(
            name="rejected.js",
            files={
                "rejected.js": "require('fs').readFile(0, (error, data) => { console.log(error, String(data));\n"
                "process.stdin.on('end', () => Promise.reject(new Error('rejected'))).resume(); });\n"
            },
            main="rejected.js",
        ),
        Probe(name="children.js", files={"children.js": _NODE_CHILDREN}, main="children.js"),
    ),
    "python": (
        Probe(
            name="state.py", files={"state.py": _PYTHON_STATE}, main="state.py", args=("a", "", "é b"), env={"X": "1"}
        ),
        Probe(name="frames.py", files={"frames.py": _PYTHON_FRAMES}, main="frames.py"),
        Probe(
            name="raise.py",
            files={
                "raise.py": "import other\nother.deep()\n",
                "other.py": "def deep():\n    raise KeyError('thrown') from ValueError('cause')\n",
            },
            main="raise.py",
        ),
        Probe(name="syntax.py", files={"syntax.py": "print('no'\n"}, main="syntax.py"),
        Probe(name="children.py", files={"children.py": _PYTHON_CHILDREN}, main="children.py"),
    ),
}
