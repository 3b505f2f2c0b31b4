"""What prices demand: an endpoint is paid by token or by the hour, and a baseline has a price by token. And what is
seldom meant."""

from collections.abc import Sequence

from domain.cost import PRICE_DECIMALS
from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.settings import EndpointSettings, GroupSettings
from entrypoints.config.settings_price import PriceSettings
from entrypoints.config.value_types import MOST_OUTPUT_RATIO

_BY_TOKEN = ("input", "output")
_CHEAPEST = 0.001
"""Per million tokens; what is below it was most likely meant for one token."""
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


def warn_about_prices(groups: Sequence[GroupSettings], report: Report) -> None:
    """Of groups whose defaults are worked out."""
    for index, group in enumerate(groups):
        is_priced = any(model.price is not None for model in group.models)
        for number, model in enumerate(group.models):
            path = f"model_groups[{index}].models[{number}]"
            if model.price is not None:
                _warn_about(model.price, f"{path}.price", report)
            elif is_priced:
                problem = "has no price, as others of its group have: its replies are in no sum of costs"
                report.warn(path, problem, "write its price, with 0 where it costs nothing")
            if model.capacity == "provisioned" and "output_token_ratio" not in report.at(path).given:
                _warn_about_ratio(group.models, path, report)


def _warn_about_ratio(models: Sequence[EndpointSettings], path: str, report: Report) -> None:
    """From gpt-4.1 on Azure counts output tokens of provisioned capacity as its prices do (provisioned throughput
    guide)."""
    prices = (model.price for model in models if model.price is not None)
    ratios = (price.output / price.input for price in prices if price.input and price.output)
    ratio = next((ratio for ratio in ratios if 1 < ratio <= MOST_OUTPUT_RATIO), None)
    if ratio is not None:
        text = f"counts an output token as one input token, and by the prices of its group it is worth {ratio:.4g}"
        fix = f"write output_token_ratio: {ratio:.4g} if the deployment counts so too, or 1 if it does not"
        report.warn(path, text, fix)


def _warn_about(price: PriceSettings, path: str, report: Report) -> None:
    if price.input is not None and price.cached_input is not None and price.cached_input > price.input:
        fix = f"write {price.input:g} or less, or leave it out where cached tokens cost the same"
        report.warn(f"{path}.cached_input", f"is more than input, {price.input:g}", fix)
    for key in ("input", "cached_input", "cache_write", "output"):
        amount = getattr(price, key)
        if amount and amount < _CHEAPEST:
            fix = f"write {amount * 1e6:g} if {amount:g} is for one token"
            report.warn(f"{path}.{key}", "is for a million tokens, and very little for so many", fix)
        elif amount and round(amount, PRICE_DECIMALS) != amount:
            kept = f"{round(amount, PRICE_DECIMALS):.{PRICE_DECIMALS}f}"
            report.warn(f"{path}.{key}", f"has more than {PRICE_DECIMALS} decimals", f"write {kept}, which is counted")
