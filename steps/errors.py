"""The one exception for what a user can mend."""


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class InputError(ValueError):
    """What the user gave cannot be used. The message is one line and names the option."""

    def __init__(self, option: str, value: object, problem: str) -> None:
        """Args: the option as typed (``--lr``), its value, and what is wrong or allowed."""
        # Split and joined: a typed value may hold line breaks, or be empty.
        typed = f"{option} {value}".strip()
        super().__init__(" ".join(f"{typed}: {problem}".split()))
        self.option = option
