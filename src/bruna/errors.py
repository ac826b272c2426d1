"""What messages to users are made of: the one exception for mistakes that they can mend, and counted nouns."""


class BrunaError(Exception):
    """Something the user gave cannot be used.

    The message says what was found, where, and what to do about it. Stages and the command line print it
    without a traceback and exit with status 1.
    """


def counted(number: int, plural: str) -> str:
    """A number with its noun in the right form.

    Args:
        number: is written with thousands commas.
        plural: the noun, e.g. `images`; words before it stay as they are.

    >>> counted(1, "training identities"), counted(1200, "images"), counted(0, "mask pairs")
    ('1 training identity', '1,200 images', '0 mask pairs')
    """
    singular = f"{plural.removesuffix('ies')}y" if plural.endswith("ies") else plural.removesuffix("s")
    return f"{number:,} {singular if number == 1 else plural}"
