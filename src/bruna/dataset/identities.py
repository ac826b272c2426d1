"""Identities that are no person's, as image tables and galleries code them; a person's identity is above 0."""

DISTRACTOR = 0
"""A gallery image that shows nobody of the queries: always a negative."""
JUNK = -1
"""A gallery image that the Market-1501 protocol ignores."""
UNLABELLED = -2
"""An image of which nothing is known."""
UNKNOWN_CAMERA = 0
"""Camera of an image of which it is not known."""
