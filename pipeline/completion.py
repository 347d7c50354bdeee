"""``python -m pipeline.completion SHELL``: one word for all commands, completed by the Tab key.

    python -m pipeline.completion bash >> ~/.bashrc

From then on ``greenest run --opt<Tab>`` stands for ``python -m pipeline run --optimizer``, in any
folder. Click completes scripts that are installed on the path; this one is a shell function.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import click
from click.shell_completion import get_completion_class

from pipeline import terminal

NAME = "greenest"
ASKED = "_GREENEST_COMPLETE"
"""The environment variable by which a shell asks for completions, as Click names it."""

BASH = """\
_greenest_python() { PYTHONPATH=@project@${PYTHONPATH:+:$PYTHONPATH} @python@ "$@"; }
greenest() { _greenest_python -m pipeline "$@"; }
_greenest() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _GREENEST_COMPLETE=bash \\
        _greenest_python -m pipeline.completion 2>/dev/null))
}
complete -o default -F _greenest greenest
"""
SCRIPTS = {
    "bash": BASH,
    "zsh": f"autoload -Uz compinit bashcompinit && compinit && bashcompinit\n{BASH}",
    "fish": """\
function _greenest_python
    set -lx PYTHONPATH @project@ $PYTHONPATH
    @python@ $argv
end
function greenest
    _greenest_python -m pipeline $argv
end
function _greenest
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    set -lx _GREENEST_COMPLETE fish
    _greenest_python -m pipeline.completion 2>/dev/null
end
complete --command greenest --arguments '(_greenest)'
""",
}
"""Where nothing is known, all three complete names of files."""


@click.command()
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """Print what makes `greenest` short for `python -m pipeline`, completed by the Tab key.

    It belongs into what SHELL reads when it starts: >> ~/.bashrc, >> ~/.zshrc, or
    >> ~/.config/fish/config.fish.
    """
    places = {"@project@": str(Path(__file__).parents[1]), "@python@": sys.executable}
    script = SCRIPTS[shell]
    for name, place in places.items():
        script = script.replace(name, quote(place))
    print(script, end="")


def completions(shell: str) -> Iterator[str]:
    """Of the line that the shell tells in COMP_WORDS and COMP_CWORD, as Click reads them."""
    from pipeline.__main__ import cli

    known = get_completion_class(shell)
    assert known is not None, f"Click completes for {shell}"
    completer = known(cli, {}, NAME, ASKED)
    for item in completer.get_completions(*completer.get_completion_args()):
        yield item.value


if __name__ == "__main__":
    if ASKED in os.environ:
        print(*completions(os.environ[ASKED]), sep="\n")
    else:
        terminal.main(completion, "python -m pipeline.completion")
