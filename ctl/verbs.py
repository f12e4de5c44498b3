"""The verbs of the command and what each does, in the order of the help. The module of a verb is loaded by name."""

VERBS: dict[str, str] = {
    "submit": "queue a script; prints the id of its job",
    "run": "queue a script, show its output, exit with its exit code",
    "status": "the daemon at a glance, or jobs",
    "list": "jobs, newest first",
    "show": "all there is to know about a job",
    "explain": "why a job does not run yet, or why it died",
    "logs": "what a job printed",
    "follow": "watch a job until it is final",
    "artifacts": "the files that a job left, listed or brought here",
    "result": "the value that a job gave as its result",
    "wait": "block until jobs are final",
    "cancel": "end jobs, or take them out of the queue",
    "retry": "queue finished jobs again",
    "delete": "remove jobs for good",
    "prune": "remove finished jobs that are old, or chosen",
    "pause": "let nothing more of a queue start",
    "resume": "let jobs of a queue start again",
    "backup": "write a copy of the queue to a file",
    "workers": "what each worker does, and has done so far",
    "top": "watch workers, queues and jobs live, and act on them",
    "stats": "how much there is, how fast it goes, and why it fails",
    "events": "what happens to jobs, workers and the daemon",
    "scale": "give a pool so many workers",
    "restart": "replace workers one at a time, after their job",
    "reload": "have the settings read again",
    "upgrade": "go over to new code without a pause",
    "drain": "start no more jobs, and wait until none runs",
    "stop": "stop the daemon",
    "health": "whether the daemon is well",
    "doctor": "check this machine and the daemon, and say what to do",
    "check-config": "check a settings file, as the daemon would read it",
    "token": "print the token for HTTP, or the dashboard's address with it",
    "completion": "print the completion script for a shell",
}
TAKES_JOBS = frozenset(
    {"status", "show", "explain", "logs", "follow", "artifacts", "result", "wait", "cancel", "retry", "delete"}
)
TAKES_SCRIPT = frozenset({"submit", "run"})
