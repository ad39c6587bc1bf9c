"""Widths: how many continuations of a path a search makes."""

from weft.errors import UsageError


def check_width(strategy: str, n: int, width: int) -> None:
    """Check that the paths of a round come in whole sets of continuations.

    Args:
        strategy: its name, for the message.
        n: paths of a round.
        width: continuations of each path.

    Raises:
        UsageError: `width` does not divide `n`.
    """
    if n % width:
        raise UsageError(
            f"n={n} of {strategy} must be a multiple of width={width}; "
            f"try n={n + width - n % width}"
        )
