"""The rules of the code check: the built-in set, and what `[[checks]]` tables of the settings file change in it.

A table replaces the rule of the same runtime and name, or adds one; an empty pattern switches it off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from supervisor.config.settings import JOB_TYPES, CheckRule
from supervisor.core.errors import SettingsError

_FIELDS: Final = ("runtime", "rule", "pattern", "message")
_RULE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_LONGEST: Final = 1000
_NODE_MODULE: Final = r"""(?:\brequire\s*\(\s*|\bfrom\s*|\bimport\b[\s(]*)["'`](?:node:)?"""
_COMMAND: Final = r"(?<![\w./$-])"

BUILT_IN: Final = tuple(
    CheckRule(*row)
    for row in (
        ("node", "child_process", r"\bchild_process\b", "starts other programs; they share the job's limits"),
        ("node", "fs", _NODE_MODULE + r"fs\b", "uses files: only what it puts into $JOB_OUTPUT_DIR is kept"),
        (
            "node",
            "process_exit",
            r"\bprocess\s*\.\s*(?:exit|reallyExit|abort)\s*\(",
            "ends at once, whatever is still under way: prefer process.exitCode",
        ),
        (
            "node",
            "endless_loop",
            r"\bwhile\s*\(\s*(?:true|1|!0)\s*\)|\bfor\s*\([^;()]*;\s*;",
            "loops until something breaks it: it may run into its time limit",
        ),
        ("node", "eval", r"\beval\s*\(|\bnew\s+Function\b", "runs text as code"),
        (
            "node",
            "network",
            _NODE_MODULE + r"(?:net|http|https|http2|tls|dgram|dns)\b|\bfetch\s*\(",
            "uses the network, which a job has only with --network",
        ),
        (
            "python",
            "subprocess",
            r"\b(?:import|from)\s+(?:subprocess|pty)\b|\bos\s*\.\s*(?:system|popen|fork|exec[lv]\w*|(?:posix_)?spawn\w*)\s*\(",
            "starts other programs; they share the job's limits",
        ),
        ("python", "os_exit", r"\bos\s*\.\s*_exit\s*\(", "ends at once, and loses output that is still buffered"),
        (
            "python",
            "endless_loop",
            r"\bwhile\b[\s(]*(?:True|1)[\s)]*:",
            "loops until something breaks it: it may run into its time limit",
        ),
        ("python", "eval", r"(?<![\w.])(?:eval|exec)\s*\(", "runs text as code"),
        (
            "python",
            "network",
            r"\b(?:import|from)\s+(?:socket|ssl|http|urllib|requests|httpx|aiohttp|ftplib|smtplib)\b",
            "uses the network, which a job has only with --network",
        ),
        (
            "shell",
            "endless_loop",
            r"\b(?:while\s+(?:true|:)|until\s+false)\s*(?:;|$|do\b)",
            "loops until something breaks it: it may run into its time limit",
        ),
        ("shell", "eval", _COMMAND + r"eval\s", "runs text as code"),
        (
            "shell",
            "network",
            _COMMAND + r"(?:curl|wget|nc|ncat|ssh|scp|sftp|rsync|ftp)\s",
            "uses the network, which a job has only with --network",
        ),
        ("shell", "background", r"(?<![&>|\\])&\s*$", "leaves a process in the background: it is killed with the job"),
    )
)


def read_checks(value: object, source: str) -> tuple[CheckRule, ...]:
    """The rules of `[[checks]]`; raises SettingsError naming the table and what is legal."""
    if not isinstance(value, list) or not all(isinstance(table, Mapping) for table in value):
        raise SettingsError(f"{source}: checks is a list of tables: write [[checks]] and its keys below, once a rule")
    return tuple(_read(table, f"{source}: checks, table {number}") for number, table in enumerate(value, 1))


def with_built_in(given: Iterable[CheckRule]) -> tuple[CheckRule, ...]:
    """The built-in rules as `given` changes them, without those that are switched off."""
    rules = {(rule.runtime, rule.rule): rule for rule in (*BUILT_IN, *given)}
    return tuple(rule for rule in rules.values() if rule.pattern)


def _read(table: Mapping[str, object], where: str) -> CheckRule:
    unknown = [name for name in table if name not in _FIELDS]
    if unknown:
        raise SettingsError(f"{where}: there is no key {unknown[0]!r}; legal here: {', '.join(_FIELDS)}")
    off = table.get("pattern") == ""
    needed = _FIELDS[:3] if off else _FIELDS
    missing = [name for name in needed if name not in table]
    if missing:
        raise SettingsError(f"{where}: {missing[0]} is missing; a rule has {', '.join(_FIELDS)}")
    rule = CheckRule(**{name: _text(table.get(name, ""), name, where) for name in _FIELDS})
    if rule.runtime not in JOB_TYPES:
        raise SettingsError(f"{where}: runtime = {rule.runtime!r}: it must be one of {', '.join(JOB_TYPES)}")
    if _RULE.fullmatch(rule.rule) is None:
        raise SettingsError(f"{where}: rule = {rule.rule!r}: it must be 1 to 64 letters, digits, dots, dashes, _")
    if not off and not rule.message:
        raise SettingsError(f"{where}: message is empty: say what is wrong with such a line")
    try:
        re.compile(rule.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingsError(f"{where}: pattern = {rule.pattern!r}: not a regular expression: {error}") from None
    return rule


def _text(value: object, name: str, where: str) -> str:
    if not isinstance(value, str) or not (value.isprintable() or name == "pattern") or len(value) > _LONGEST:
        raise SettingsError(f"{where}: {name} = {value!r}: it must be text of at most {_LONGEST} characters, one line")
    return value
