"""The one exception for what a user can mend."""


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks; its type where it says nothing."""
    return printable(str(error)) or type(error).__name__


def printable(text: str) -> str:
    """In one line, with a mark for each character that could steer the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(text.split()))


class InputError(ValueError):
    """What the user gave cannot be used. The message is one line and names the option."""

    def __init__(self, option: str, value: object, problem: str) -> None:
        """Args: the option as typed (``--lr``), its value, and what is wrong or allowed."""
        # Split and joined: a typed value may hold line breaks, or be empty.
        typed = f"{option} {value}".strip()
        super().__init__(printable(f"{typed}: {problem}"))
        self.option = option
