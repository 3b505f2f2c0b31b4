"""What prices demand: an endpoint is paid by token or by the hour, and a baseline has a price by token."""

from entrypoints.config.reading.mistakes import Place
from entrypoints.config.settings import GroupSettings

_BY_TOKEN = ("input", "output")
_VALID = "input and output, both, or per_hour alone"


def check_price(here: Place) -> None:
    """Of one model; `here` is its `price`."""
    given = here.given
    if "per_hour" in given:
        for key in sorted(given - {"per_hour"}):
            here.add(key, "excludes per_hour", _VALID, f"leave out {key} or per_hour")
        return
    missing = [key for key in _BY_TOKEN if key not in given]
    if missing:
        fix = f"write {' and '.join(missing)} too; 0 for what costs nothing, as the output of embeddings"
        here.report.add(here.path, f"has no {' and no '.join(missing)}", _VALID, fix)


def check_baseline(group: GroupSettings, here: Place) -> None:
    """Of one group whose defaults are worked out; `here` is the group."""
    if group.price_baseline is None:
        return
    by_token = [it.id for it in group.models if it.price is not None and it.price.per_hour is None]
    if group.price_baseline not in by_token:
        if not by_token:
            here.add(
                "price_baseline", "no model of this group has a price by token", fix="write a price, or leave it out"
            )
        else:
            valid = "the id of a model of this group with a price by token: " + " or ".join(by_token)
            here.add("price_baseline", "is none of them", valid, f"write {by_token[0]}")
