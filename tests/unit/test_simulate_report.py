"""What a run comes to: figures that can be reckoned by hand, the same bytes for a seed, a picture that is safe."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.simulate.command import main
from entrypoints.simulate.options import Latency, Limits, Trouble
from entrypoints.simulate.report.figures import Waits
from entrypoints.simulate.report.timeline import timeline_svg
from tests.unit.simulated import KEY, played, settings_of, write_config

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_without_limits_weights_decide_and_an_answer_takes_its_latency(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east, weight: 3", "id: west, weight: 1")

    report = played(settings, [1, 2, 3, 4], latency=Latency(0.3, 0.02))

    east, west = report.endpoints
    assert (east.requests, east.wanted_share, east.got_share) == (3, 75.0, 75.0)
    assert (west.requests, west.wanted_share, west.got_share) == (1, 25.0, 25.0)
    # To the provider and back 1 ms, 300 ms until the first byte, 20 ms for each of twenty tokens.
    assert report.durations == Waits(4, 0.701, 0.701, 0.701)
    assert report.waits.count == 0 and report.totals.avoided_429s == 0 and report.cooldowns == []
    # Three requests of 100 tokens, answered with twenty each, in two minutes.
    assert (east.given_tokens_per_minute, east.answered_tokens_per_minute) == (150.0, 30.0)
    assert (east.peak_rpm, east.peak_tpm) == (3, 360)
    assert (report.totals.requests, report.totals.answered, report.totals.attempts) == (4, 4, 4)


def test_streams_count_as_whole_answers_do(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east, weight: 3", "id: west, weight: 1")

    whole = played(settings, [1, 2, 3, 4], latency=Latency(0.3, 0.02))
    streamed = played(settings, [1, 2, 3, 4], latency=Latency(0.3, 0.02), streams=True)

    assert streamed == whole


def test_a_request_over_the_limit_waits_for_the_refill_and_no_429_is_seen(tmp_path: Path) -> None:
    """Two requests a minute: one refills in 30 s. The first goes at 0, the second at 1, when 1/30 is left over. A third
    comes at 2, and the bucket is at one again 29 s after the second; the proxy looks no more often than it must."""
    report = played(settings_of(tmp_path, "id: east"), [0, 1, 2], [("east", Limits(2, None))], Latency(0.2, 0.0))

    assert report.totals.answered == 3 and report.totals.received_429s == report.totals.client_429s == 0
    assert report.waits.count == 1 and 28.0 <= report.waits.max_s <= 28.6
    assert report.totals.blind_429s == 1 and report.totals.avoided_429s == 1
    assert max(report.timeline.waiting) == 1 and sum(map(bool, report.timeline.waiting)) in (28, 29)


@pytest.mark.parametrize("model", ["id: east", "id: east, rpm: 120"])
@pytest.mark.parametrize("style", ["azure", "openai", "none"])
def test_twice_as_many_as_a_limit_lets_in_use_all_of_it_and_hardly_any_sees_a_429(
    tmp_path: Path, model: str, style: Literal["azure", "openai", "none"]
) -> None:
    """Azure's windows also where nothing but the headers says so. Of the silent one only 429s tell."""
    times = [number / 4 for number in range(480)]
    report = played(settings_of(tmp_path, model), times, [("east", Limits(120, None, style))], Latency(2.0, 0.0))

    is_silent = (model, style) == ("id: east", "none")
    assert report.totals.received_429s <= (300 if is_silent else 0)
    # Of two minutes and the 30 s that the last may wait; a bucket is full at the start.
    assert report.totals.answered >= (300 if style == "azure" else 410)


def test_what_waits_too_long_is_told_429(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east", general="max_wait: 5")

    report = played(settings, [0, 1, 2], [("east", Limits(2, None))])

    assert report.totals.client_429s == 1 and report.groups[0].errors == {"rate_limit_exceeded": 1}
    assert report.totals.received_429s == 0 and sum(report.timeline.client_errors) == 1


def test_a_full_endpoint_is_passed_over_while_another_has_room(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east, weight: 1", "id: spare, weight: 0")

    report = played(settings, [0, 5, 10, 15], [("east", Limits(2, None))])

    spare = report.endpoints[1]
    assert report.totals.answered == 4 and report.totals.received_429s == 0
    assert spare.requests >= 1 and spare.wanted_share == 0.0
    assert report.totals.routed_round == spare.requests == report.totals.avoided_429s


def test_a_later_tier_gets_only_what_those_before_it_have_no_room_for(tmp_path: Path) -> None:
    members = ("id: dear, priority: 1", "id: cheap", "id: cheap2, weight: 2")
    limits = [("cheap", Limits(60, None)), ("cheap2", Limits(60, None))]

    report = played(settings_of(tmp_path, *members), [number / 4 for number in range(2400)], limits, length_s=600)

    first, second = report.tiers
    assert (first.tier, list(first.endpoints)) == ("first", ["cheap", "cheap2"])
    assert (second.tier, list(second.endpoints), second.used_at_spill) == ("priority 1", ["dear"], None)
    assert first.used_at_spill is not None and first.used_at_spill >= 97.0
    assert first.requests + second.requests == report.totals.answered == 2400
    assert first.share + second.share == pytest.approx(100.0)
    assert report.totals.received_429s == report.totals.client_429s == 0
    assert [each.endpoint for each in report.timeline.endpoints] == ["cheap", "cheap2", "dear"]
    assert ">priority 1</text>" in timeline_svg(report)


def test_traffic_that_fits_the_first_tier_never_leaves_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: dear, priority: 1", "id: cheap")

    report = played(settings, [2 * number for number in range(50)], [("cheap", Limits(60, None))])

    assert [(each.requests, each.used_at_spill) for each in report.tiers] == [(50, None), (0, None)]


def test_waiting_for_the_first_tier_lets_a_burst_stay_there(tmp_path: Path) -> None:
    members, burst = ("id: dear, priority: 1", "id: cheap"), [0.0] * 65
    limits = [("cheap", Limits(60, None))]

    at_once = played(settings_of(tmp_path, *members), burst, limits)
    waiting = played(settings_of(tmp_path, *members, general="max_wait_for_tier: 10"), burst, limits)

    assert at_once.endpoints[0].requests >= 5 and at_once.waits.count == 0
    assert waiting.endpoints[0].requests == 0 and waiting.waits.count >= 5
    assert waiting.waits.max_s <= 10.0


def test_an_outage_is_a_cooldown_that_ends_with_a_good_probe(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east", "id: west", general="cooldown_time: 10")
    times = [number / 2 for number in range(200)]

    report = played(settings, times, troubles=[Trouble("east", 20, 25, "connect")])

    (cooldown,) = report.cooldowns
    assert cooldown.endpoint == "east" and cooldown.why.startswith("connect_failed") and cooldown.times == 1
    # From the first request after the beginning; ten seconds, more or less a tenth, and until the probe is answered.
    assert 20.0 <= cooldown.from_s <= 21.1
    assert cooldown.until_s is not None and 29.0 <= cooldown.until_s <= 21.1 + 11 + 6
    assert report.totals.client_errors == 0 and report.totals.retries == 1
    assert report.endpoints[0].failures == {"connect_failed": 1} and report.endpoints[0].cooldowns == 1


def test_an_endpoint_that_stays_away_cools_to_the_end(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east", general="cooldown_time: 10, num_retries: 0")

    report = played(settings, [0, 10, 50, 100], troubles=[Trouble("east", 0, 1000, "503")])

    (cooldown,) = report.cooldowns
    assert cooldown.until_s is None and cooldown.times > 1
    assert report.totals.client_errors == 4 == report.groups[0].requests
    assert report.totals.answered == 0 and report.endpoints[0].got_share == 0.0


def test_429s_of_a_storm_go_round_to_the_other_endpoint(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east", "id: west")

    report = played(settings, [number / 4 for number in range(200)], troubles=[Trouble("east", 10, 20, "429", 3.0)])

    east, west = report.endpoints
    assert report.totals.client_429s == 0 and report.totals.answered == 200
    assert report.totals.received_429s == east.received_429s == sum(report.timeline.endpoints[0].received_429s)
    assert 1 <= east.received_429s <= 4 and west.received_429s == 0  # once every three seconds
    assert east.failures == {"rate_limited": east.received_429s} and report.cooldowns == []


@given(st.lists(st.floats(0, 100), min_size=1))
def test_percentiles_are_values_that_were_seen(seconds: list[float]) -> None:
    waits = Waits.of(seconds)

    assert waits.count == len(seconds) and 0 <= waits.p50_s <= waits.p99_s <= waits.max_s
    assert sum(each <= waits.p50_s + 0.001 for each in seconds) * 2 >= len(seconds)


def simulate(config: Path, folder: Path, hash_seed: str, *arguments: str) -> tuple[bytes, bytes, str]:
    """JSON, picture and text of a run in a process of its own."""
    document, picture = folder / f"{hash_seed}.json", folder / f"{hash_seed}.svg"
    command = [
        sys.executable,
        "-m",
        "llmproxy",
        "simulate",
        str(config),
        "--json",
        str(document),
        "--svg",
        str(picture),
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": hash_seed}
    said = subprocess.run([*command, *arguments], env=environ, capture_output=True, text=True, check=True, cwd=folder)
    return document.read_bytes(), picture.read_bytes(), said.stdout


def test_the_same_seed_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """With everything in it that chance may enter by: waits that end together, cooldowns, several groups' dice."""
    config = write_config(tmp_path, "id: east, weight: 3", "id: west", "id: spare, weight: 0", general="max_wait: 3")
    scenario = ["--rate", "6", "--minutes", "4", "--tokens", "50-300,5-50", "--limits", "120/40000:azure"]
    scenario += ["--outage", "east@60..90", "--429", "west@90..100:2s"]

    first = simulate(config, tmp_path, "1", *scenario, "--seed", "5")
    second = simulate(config, tmp_path, "2", *scenario, "--seed", "5")
    other = simulate(config, tmp_path, "3", *scenario, "--seed", "6")

    assert first == second
    assert first[0] != other[0]
    totals = json.loads(first[0])["totals"]
    assert totals["client_429s"] > 0 and totals["received_429s"] > 0 and totals["retries"] > 0


def test_configurations_are_compared_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_config(tmp_path, "id: east, weight: 3", "id: west")
    (tmp_path / "other").mkdir()
    second = write_config(tmp_path / "other", "id: east, weight: 1", "id: north")

    assert main([str(first), "--compare", str(second), "--minutes", "2", "--rate", "4"]) == 0

    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [str(first), str(second)] in said
    shares = {line[2]: [float(part) for part in line[3:] if part != "%"] for line in said if line[:1] == ["share"]}
    assert list(shares) == ["east", "west", "north"]
    assert shares["east"] == pytest.approx([75, 50], abs=0.5) and shares["north"] == pytest.approx([50], abs=0.5)


def test_the_documents_fields_are_described(tmp_path: Path) -> None:
    report = json.loads(played(settings_of(tmp_path, "id: east"), [0, 1]).as_json())
    page = (ROOT / "docs" / "simulate.md").read_text()

    def names(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        if not isinstance(value, dict):
            return set()
        return set(value).union(*map(names, value.values()))

    assert [name for name in sorted(names(report)) if f"`{name}`" not in page] == []


def test_the_picture_is_xml_without_scripts_in_which_names_are_text(tmp_path: Path) -> None:
    group = "a\"<b>&'c"
    config = write_config(tmp_path, "weight: 1", "id: west")
    config.write_text(config.read_text().replace("model_group: gpt", "model_group: '" + group.replace("'", "''") + "'"))
    picture = tmp_path / "timeline.svg"

    assert main([str(config), "--minutes", "1", "--svg", str(picture), "--outage", f"{group}/1@10..20"]) == 0

    root = ElementTree.fromstring(picture.read_text())
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "style", "text", "path", "rect", "title"}
    texts = [element.text or "" for element in root.iter()]
    assert f"{group}/1" in texts and any(f"{group}/1 cools: connect_failed" in text for text in texts)
    assert picture.stat().st_size < 60_000


def test_the_picture_of_a_run_without_any_answer_can_be_drawn(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: east", general="num_retries: 0")

    for times in ([], [0.0, 1.0]):
        report = played(settings, times, troubles=[Trouble("east", 0, 1000, "connect")])
        assert ElementTree.fromstring(timeline_svg(report)).tag == f"{SVG}svg"


def test_no_key_is_needed_and_none_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "id: east", "id: west")
    config.write_text(config.read_text().replace(KEY, "os.environ/NOBODYS_API_KEY", 1))
    document = tmp_path / "report.json"

    assert main([str(config), "--minutes", "1", "--json", str(document)]) == 0

    said = capsys.readouterr()
    assert "answered" in said.out and KEY not in said.out + said.err + document.read_text()


def test_entra_endpoints_are_played_without_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "id: east")
    params = "azure_ad_token_provider: default, base_url: 'https://r.openai.azure.com/openai/v1'"
    config.write_text(config.read_text().replace(f"api_key: {KEY}, base_url: 'https://host0.example/v1'", params))

    assert main([str(config), "--minutes", "1", "--rate", "2", "--limits", "600/none"]) == 0

    assert "errors to clients: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "nix"], "valid: gpt"),
        (["--outage", "nix@1..2"], "valid: east"),
        (["--trace", "nix.csv"], "nix.csv: No such file"),
        (["--json", "nix/report.json", "--minutes", "0.1"], "nix/report.json: No such file"),
    ],
)
def test_a_mistake_is_told_and_the_exit_code_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main([str(write_config(tmp_path, "id: east")), *arguments], "llmproxy simulate") == 2

    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("llmproxy simulate: ") and told in said.err


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "1", "--trace", "t.csv"], ["--speed", "2"], ["--rate", "0"], ["--minutes", "x"], ["--outage", "east"]],
)
def test_options_that_mean_nothing_are_refused_with_what_is_valid(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nix.yaml", *arguments], "llmproxy simulate")

    assert ended.value.code == 2 and "valid: " in capsys.readouterr().err


def test_mistakes_of_the_file_are_told_as_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "id: east, weight: 0.5")

    assert main([str(config)]) == 2
    assert "weight" in capsys.readouterr().err
    assert main([str(tmp_path / "nix.yaml")]) == 2


def test_several_groups_are_asked_by_their_shares_and_reported_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, "id: east", "id: west")
    second = f"  - model_group: mini\n    models: [{{model: mini, id: far, params: {{api_key: {KEY}}}}}]\n"
    config.write_text(config.read_text() + second)
    document = tmp_path / "report.json"

    shares = ["--model", "gpt:3", "--model", "mini"]
    assert main([str(config), *shares, "--minutes", "5", "--rate", "8", "--json", str(document)]) == 0

    gpt, mini = json.loads(document.read_bytes())["groups"]
    assert (gpt["group"], mini["group"]) == ("gpt", "mini")
    assert gpt["requests"] / (gpt["requests"] + mini["requests"]) == pytest.approx(0.75, abs=0.05)
    said = capsys.readouterr().out
    assert (
        "mini: far" in said
        and "Without a limit: gpt: east, gpt: west, mini: far" in said
        and "No endpoint cooled." in said
    )


def test_limits_of_the_command_line_are_the_providers_and_those_of_the_file_what_the_proxy_believes(
    tmp_path: Path,
) -> None:
    """The proxy keeps to six a minute, though the provider would let all in: it tells nothing else."""
    settings = settings_of(tmp_path, "id: east, rpm: 6", general="max_wait: 1")

    report = played(settings, list(range(0, 20)), [(None, Limits(None, None))])

    assert report.totals.received_429s == 0 and report.totals.client_429s > 0
    assert report.endpoints[0].rpm is None and report.endpoints[0].limits_from == "options"
