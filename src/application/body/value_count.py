"""Whether a JSON text holds too many values to be decoded, whatever stands in its strings."""

import re

from application.body.narrowed import ALL_MARKS, MAX_MEMBERS, is_heavy

# Possessive: nothing is remembered of each letter of what may be megabytes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def has_too_many_values(text: bytes) -> bool:
    """More than `MAX_MEMBERS`? Commas in a prompt are no values, and a table of text has many."""
    if not is_heavy(text):
        return False
    count = end = 0
    for string in _STRING.finditer(text):
        between = text[end : string.start()]
        count += sum(map(between.count, ALL_MARKS))
        if count > MAX_MEMBERS:
            return True
        end = string.end()
    rest = text[end:]
    return count + sum(map(rest.count, ALL_MARKS)) > MAX_MEMBERS
