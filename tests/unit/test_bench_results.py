"""Rows are judged as ratios within a round, and what is shown comes from what was measured."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from bench import instructions, pages, peer_table, python_build
from bench.charts import Bar, Line, bar_chart, percentile_chart
from bench.machine import Machine
from bench.report import figure, lines, table
from bench.results import Check, Kept, Round, Row, keep, kept

MACHINE = Machine(
    cpu="Test CPU",
    cores=2,
    memory_gib=4,
    system="Linux 6.1 x86_64",
    python="3.11.7",
    commit="abc",
    upstream_client="http1",
    versions={"nginx": "1.22.1"},
    measured="2026-01-02T03:04:05+00:00",
)


def pair(number: int, ours: float, nginx: float) -> list[Round]:
    return [
        Round(subject="llmproxy", round=number, values={"rps": ours}),
        Round(subject="nginx", round=number, values={"rps": nginx}),
    ]


def throughput(*checks: Check, errors: dict[str, int] | None = None) -> Row:
    rounds = [*pair(1, 10, 50), *pair(2, 5, 10), *pair(3, 30, 100)]
    rounds[0] = msgspec.structs.replace(rounds[0], errors=errors or {})
    return Row(name="throughput", title="64 connections", rounds=tuple(rounds), checks=checks)


def check(measured: float = 0.3, *, at_most: bool = False) -> Check:
    return Check(what="of nginx's", unit="", measured=measured, budget=0.17, at_most=at_most, note="30 of 100")


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    row = throughput()

    assert row.ratio("llmproxy", "nginx", "rps") == 0.3  # not 10/50, the ratio of the medians
    assert row.difference("llmproxy", "nginx", "rps") == -40


def test_errors_fail_a_row_that_is_within_its_budget() -> None:
    assert throughput(check()).status == "pass"
    assert throughput(check(0.1)).status == "miss"
    assert throughput(check(), errors={"timeout": 1}).status == "failed"


def test_errors_of_others_do_not_fail_ours() -> None:
    row = Row(
        name="peers",
        title="",
        rounds=(Round(subject="litellm", round=1, errors={"timeout": 9}),),
        forgiven=("litellm",),
    )

    assert row.status == "pass"


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    keep(throughput(check(), check(float("nan"))), MACHINE, tmp_path)

    (read,) = kept(["throughput", "not-measured"], tmp_path)

    assert read.row.rounds == throughput().rounds
    assert read.medians["nginx"] == {"rps": 50}
    assert not read.row.checks[1].met
    assert read.machine == MACHINE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the two pages that figures are written into."""
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/figures.md"):
        (tmp_path / page).write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n", encoding="utf-8")
    return tmp_path


def test_pages_are_rewritten_between_their_markers_alone(root: Path) -> None:
    results = root / "results"
    keep(throughput(check()), MACHINE, results)

    pages.rewrite(["throughput"], ["peers-throughput"], results, root)
    pages.rewrite(["throughput"], ["peers-throughput"], results, root)

    for page in ("README.md", "docs/figures.md"):
        text = (root / page).read_text(encoding="utf-8")
        assert text.startswith("before\n<!-- bench -->\n")
        assert text.endswith("<!-- /bench -->\nafter\n")
        assert "old" not in text
    assert "**0.30** (30 of 100)" in (root / "docs/figures.md").read_text(encoding="utf-8")
    assert "(../results/throughput.svg)" in (root / "docs/figures.md").read_text(encoding="utf-8")


def test_the_readme_has_one_line_for_each_row(root: Path) -> None:
    beside = Row(name="peers-throughput", title="", rounds=(*pair(1, 1000, 4000),))
    keep(throughput(check(), check(0.1)), MACHINE, root / "results")
    keep(beside, MACHINE, root / "results")

    pages.rewrite(["throughput"], ["peers-throughput"], root / "results", root)

    lines = (root / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[2].startswith("Measured on 2026-01-02: 2 cores of Test CPU")
    assert lines[4:6] == [
        "- 64 connections: of nginx's **0.30**, of nginx's **0.10** ✗",
        "- Beside others, requests/s with 64 connections, one worker each: llmproxy 1,000, nginx 4,000",
    ]


def test_pages_without_results_stay_as_they_are(root: Path) -> None:
    pages.rewrite(["throughput"], [], root / "results", root)

    assert "old" in (root / "README.md").read_text(encoding="utf-8")


def test_a_row_that_could_not_be_measured_says_why() -> None:
    row = Row(name="x", title="Memory", reason="needs wrk: apt install wrk")

    assert row.status == "not available"
    assert "apt install wrk" in lines(row)
    assert "apt install wrk" in table([Kept(row=row, status=row.status, medians={}, machine=MACHINE)])


def test_a_peer_that_cannot_do_it_is_listed_with_what_happened() -> None:
    rounds = (*pair(1, 1000, 4000), Round(subject="litellm", round=0, note="110/s is its most"))
    row = Row(name="peers-throughput", title="", rounds=rounds)

    told = peer_table.table([Kept(row=row, status="pass", medians={}, machine=MACHINE)])

    assert "| llmproxy | nginx | litellm |" in told
    assert "| 1,000 | 4,000 (4.00×) | 110/s is its most |" in told


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(59644.2, "", "59,644"), (0.1849, "", "0.18"), (0.0335, "", "0.034"), (12.34, "ms", "12.3 ms")],
)
def test_figures_have_the_digits_that_mean_something(value: float, unit: str, shown: str) -> None:
    assert figure(value, unit) == shown


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_bars_are_as_long_as_their_values() -> None:
    root = drawn(bar_chart("A <title>", [Bar("a & b", 100, "100/s"), Bar("c", 50, "50/s", plain=True)]))

    widths = [float(bar.attrib["width"]) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1)


def test_a_higher_percentile_is_further_right_and_not_lower() -> None:
    points = ((50.0, 1.0), (90.0, 1.5), (99.0, 4.0), (99.9, 9.0), (100.0, 80.0))
    root = drawn(percentile_chart("Latency", [Line("ours", points)], (5.0, "limit")))

    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert len(places) == 4  # the very last of all would stretch the chart for one request
    assert places == sorted(places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_cachegrinds_count_is_found_among_its_words() -> None:
    said = "==7== brk segment overflow\n==7== \n==7== I   refs:      4,093,512,319\n"

    assert instructions.total(said) == 4_093_512_319
    with pytest.raises(ValueError, match="bad luck"):
        instructions.total("bad luck")


KNOWN = {"CPython 3.11.2 optimised": {"chat": 1000}, "CPython 3.11.7 plain": {"chat": 2000}}


def counted(build: str, **counts: int) -> Row:
    return instructions.judged(Row(name="instructions", title="Instructions"), build, counts, KNOWN)


def test_more_instructions_than_recorded_for_the_same_build_are_a_miss() -> None:
    more, same = (counted("CPython 3.11.2 optimised", chat=count, new=5) for count in (1060, 1040))

    assert (more.status, same.status) == ("miss", "pass")
    assert "CPython 3.11.2 optimised" in lines(more)  # what it was compared with
    assert "1,060 now, 1,000 recorded" in lines(more)


def test_a_build_without_a_record_is_compared_with_no_other_and_says_so() -> None:
    row = counted("CPython 3.13.0 plain", chat=9999)

    assert row.status == "not available"
    assert "nothing is recorded for CPython 3.13.0 plain" in lines(row)
    assert "--record" in lines(row)
    assert all(build in lines(row) for build in KNOWN)


def test_recording_keeps_what_other_builds_recorded(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    path.write_bytes(b'{"CPython 2.7.18 plain": {"chat": 7}}')

    instructions.record("CPython 3.11.7 plain", {"chat": 1000}, path)

    assert instructions.recorded(path) == {"CPython 2.7.18 plain": {"chat": 7}, "CPython 3.11.7 plain": {"chat": 1000}}


def test_the_builds_that_figures_are_given_for_are_recorded() -> None:
    kinds = {build.split(",")[0].split()[-1] for build in instructions.recorded()}

    assert kinds == {"plain", "optimised"}


@pytest.mark.parametrize(
    ("arguments", "schemes", "is_optimised"),
    [
        ("'--enable-shared'", ("posix_prefix",), False),
        ("'--enable-optimizations' '--with-lto'", ("posix_prefix",), True),
        ("'--enable-shared'", ("posix_prefix", "deb_system"), True),
        (None, ("nt",), False),
    ],
)
def test_a_build_tells_whether_it_is_optimised(
    monkeypatch: pytest.MonkeyPatch, arguments: str | None, schemes: tuple[str, ...], is_optimised: bool
) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: arguments if name == "CONFIG_ARGS" else None)
    monkeypatch.setattr("sysconfig.get_scheme_names", lambda: schemes)

    assert python_build.is_optimised() is is_optimised
