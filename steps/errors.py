"""The one exception for what a user can mend."""


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks; its type where it says nothing."""
    return printable(str(error)) or type(error).__name__


def printable(text: str) -> str:
    """In one line, with a mark for each character that could steer the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(text.split()))


LONGEST = 2000
"""Characters of a message: a cell or a name that is repeated in it may be as long as its file."""


class InputError(ValueError):
    """What the user gave cannot be used. The message is one line and names the option."""

    def __init__(self, option: str, value: object, problem: str) -> None:
        """Args: the option as typed (``--lr``), its value, and what is wrong or allowed."""
        # Split and joined: a typed value may hold line breaks, or be empty.
        typed = f"{option} {value}".strip()
        line = printable(f"{typed}: {problem}")
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
        super().__init__(line)
        self.option = option
