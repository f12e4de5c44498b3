"""Completion scripts for bash, zsh and fish, made from the parsers, so that they cannot be behind them.

Ids are completed from the jobs of the running daemon; where none runs, nothing is offered and nothing is said.
"""

from __future__ import annotations

from ctl.parser import verb_parser
from ctl.verbs import TAKES_JOBS, VERBS
from supervisor.core.names import ISOLATION, STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_PATH_METAVARS = frozenset({"PATH", "FILE", "DIR", "JOBS"})
_IDS = "workerctl list -q --limit 100 2>/dev/null"
_BASH_IDS = f'COMPREPLY=($(compgen -W "@last $({_IDS})" -- "$cur"))'
_ZSH_IDS = f"compadd -- @last $({_IDS})"
_FISH_IDS = f"-a '@last ({_IDS})'"


class Option:
    """An option of a verb: its flags, its help, and what its value may be (`files`, words, or anything)."""

    def __init__(self, action: argparse.Action) -> None:
        self.flags = tuple(action.option_strings)
        self.help = (action.help or "").replace("%%", "%")
        self.takes_value = action.nargs != 0
        self.takes_path = action.metavar in _PATH_METAVARS
        self.takes_job = str(action.metavar).startswith("JOB") and not self.takes_path
        self.words: tuple[str, ...] = tuple(map(str, action.choices or ()))
        if "--state" in self.flags:
            self.words = tuple(STATES)
        if "--isolation" in self.flags:
            self.words = tuple(ISOLATION)


def options_of(verb: str) -> list[Option]:
    """The options of a verb."""
    return [Option(action) for action in verb_parser(verb)._actions if action.option_strings]


def takes_path(verb: str) -> bool:
    """Whether the verb's own argument is a file."""
    actions = verb_parser(verb)._actions
    return any(action.metavar in _PATH_METAVARS for action in actions if not action.option_strings)


def words_of(verb: str) -> tuple[str, ...]:
    """What the verb's own argument may be, if that is a fixed set."""
    for action in verb_parser(verb)._actions:
        if not action.option_strings and action.choices:
            return tuple(map(str, action.choices))
    return ()


def bash() -> str:
    """The script for bash."""
    cases = "".join(_bash_case(verb) for verb in VERBS)
    return f"""\
# bash completion for workerctl:  source <(workerctl completion bash)
_workerctl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --socket) ((i++)) ;;
            -*) ;;
            *) verb=${{COMP_WORDS[i]}}; break ;;
        esac
    done
    case $verb:$prev in
{cases}        :--socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        :*) COMPREPLY=($(compgen -W {_quoted(" ".join(VERBS))} -- "$cur")) ;;
    esac
}}
complete -o filenames -F _workerctl workerctl
"""


def _bash_case(verb: str) -> str:
    options = options_of(verb)
    lines: list[str] = []
    for option in options:
        patterns = "|".join(f"{verb}:{flag}" for flag in option.flags)
        if option.words:
            lines.append(f'{patterns}) COMPREPLY=($(compgen -W {_quoted(" ".join(option.words))} -- "$cur")) ;;')
        elif option.takes_path:
            lines.append(f'{patterns}) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;')
        elif option.takes_job:
            lines.append(f"{patterns}) {_BASH_IDS} ;;")
        elif option.takes_value:
            lines.append(f"{patterns}) ;;")
    flags = " ".join(flag for option in options for flag in option.flags)
    lines.append(f"""{verb}:*)
            if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W {_quoted(flags)} -- "$cur"))
            else {_bash_argument(verb)}; fi ;;""")
    return "".join(f"        {line}\n" for line in lines)


def _bash_argument(verb: str) -> str:
    if takes_path(verb):
        return 'mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
    if verb in TAKES_JOBS:
        return _BASH_IDS
    words = words_of(verb)
    return f'COMPREPLY=($(compgen -W {_quoted(" ".join(words))} -- "$cur"))' if words else ":"


def zsh() -> str:
    """The script for zsh."""
    verbs = " ".join(_quoted(f"{verb}:{what}") for verb, what in VERBS.items())
    cases = "".join(_zsh_case(verb) for verb in VERBS)
    return f"""\
#compdef workerctl
# zsh completion for workerctl:  source <(workerctl completion zsh)
_workerctl() {{
    local verb='' prev=$words[CURRENT-1] i
    local -a verbs options
    verbs=({verbs})
    for ((i = 2; i < CURRENT; i++)); do
        case $words[i] in
            --socket) ((i++)) ;;
            -*) ;;
            *) verb=$words[i]; break ;;
        esac
    done
    case $verb:$prev in
{cases}        :--socket) _files ;;
        :*) _describe verb verbs ;;
    esac
}}
# As a file of $fpath this is run by the first completion, which is then to be answered; elsewhere it is sourced.
if [[ ${{funcstack[1]-}} == _workerctl ]]; then _workerctl "$@"; else compdef _workerctl workerctl; fi
"""


def _zsh_case(verb: str) -> str:
    options = options_of(verb)
    lines: list[str] = []
    for option in options:
        patterns = "|".join(f"{verb}:{flag}" for flag in option.flags)
        if option.words:
            lines.append(f"{patterns}) compadd -- {' '.join(option.words)} ;;")
        elif option.takes_path:
            lines.append(f"{patterns}) _files ;;")
        elif option.takes_job:
            lines.append(f"{patterns}) {_ZSH_IDS} ;;")
        elif option.takes_value:
            lines.append(f"{patterns}) ;;")
    described = " ".join(
        _quoted(f"{flag}:{option.help}" if option.help else flag) for option in options for flag in option.flags
    )
    lines.append(f"""{verb}:*)
            if [[ $PREFIX == -* ]]; then options=({described}); _describe -o option options
            else {_zsh_argument(verb)}; fi ;;""")
    return "".join(f"        {line}\n" for line in lines)


def _zsh_argument(verb: str) -> str:
    if takes_path(verb):
        return "_files"
    if verb in TAKES_JOBS:
        return _ZSH_IDS
    words = words_of(verb)
    return f"compadd -- {' '.join(words)}" if words else ":"


def fish() -> str:
    """The script for fish."""
    lines = ["# fish completion for workerctl:  workerctl completion fish | source", "complete -c workerctl -f"]
    for verb, what in VERBS.items():
        lines.append(f"complete -c workerctl -n __fish_use_subcommand -a {verb} -d {_fish_quoted(what)}")
    for verb in VERBS:
        seen = f"complete -c workerctl -n '__fish_seen_subcommand_from {verb}'"
        lines += [f"{seen} {_fish_option(option)}" for option in options_of(verb)]
        if takes_path(verb):
            lines.append(f"{seen} -F")
        elif verb in TAKES_JOBS:
            lines.append(f"{seen} {_FISH_IDS}")
        elif words := words_of(verb):
            lines.append(f"{seen} -a '{' '.join(words)}'")
    return "\n".join(lines) + "\n"


def _fish_option(option: Option) -> str:
    parts = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    if option.words:
        parts.append(f"-x -a '{' '.join(option.words)}'")
    elif option.takes_path:
        parts.append("-r -F")
    elif option.takes_job:
        parts.append(f"-x {_FISH_IDS}")
    elif option.takes_value:
        parts.append("-x")
    return " ".join([*parts, f"-d {_fish_quoted(option.help)}"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
