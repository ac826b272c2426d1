"""The one exception for mistakes that a user can mend."""


class BrunaError(Exception):
    """Something the user gave cannot be used.

    The message says what was found, where, and what to do about it. Stages and the command line print it
    without a traceback and exit with status 1.
    """
