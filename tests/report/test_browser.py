"""The pages in a real browser, offline: they ask for nothing, say no error, and every control works."""

import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lib.data import demonstrations
from lib.evaluation import records
from lib.report import pages, token_values
from lib.study import params
from lib.text import traces
from tests import synthetic

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
HOSTILE = (
    "<think>\n</script><script>hacked = 1</script>\n</think>\n<answer><img src=x onerror=hacked=1></answer>"
)
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
PAGES = ["synthetic", "viewer"]
SELECTS = "problem backbone method seed answer trace reward value".split()

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: `apt-get install chromium`, or name one in CHROMIUM"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Synthetic records, one wrong trace and one question an attack: their root, the viewer's data, where."""
    root = tmp_path_factory.mktemp("study")
    shape = {"seeds": 2, "problems": 6, "token_records": 6, "methods": synthetic.TINY}
    synthetic.write(root / "results", ("qwen2", "llama"), **shape)
    path = root / "results" / "runs" / "qwen2" / "base" / "seed0" / "samples.jsonl.xz"
    rows = synthetic.read_rows(path)
    ends = synthetic.token_ends(HOSTILE)
    row = next(row for row in rows if row["first_wrong_unit"] is not None)
    row |= {"text": HOSTILE, "ends": ends, "logprobs": [-0.5] * len(ends), "correct": False}
    row |= {"first_wrong_unit": 0, "unit_logprob": [-1.0, 0.0], "unit_entropy": [1.0, 0.0]}
    synthetic.write_rows(path, rows)
    for path in (root / "results" / "runs" / "qwen2").rglob("seed0/scores.jsonl.xz"):
        scores = synthetic.read_rows(path)
        for score in scores:
            if score["policy"] == "base" and (score["problem"], score["sample"]) == (
                row["problem"],
                row["sample"],
            ):
                score |= {"rewards": [0.25] * len(ends), "unit_reward": [0.0, -1.0, -1.0]}
        synthetic.write_rows(path, scores)
    for path in (root / "results" / "runs").rglob("seed1/scores.jsonl.xz"):  # SFT's second seed: unjudged
        rows = synthetic.read_rows(path)
        synthetic.write_rows(path, [row for row in rows if row["policy"] == "base"])
    tree = params.apply_profile(ROOT / "params.yaml", "tiny") | {"policies": ["qwen2", "llama"]}
    problems = demonstrations.read_jsonl(root / "results" / "data" / "test.jsonl")
    attacked = problems[row["problem"]].question + "<script>hacked = 1</script>"
    problems[row["problem"]] = problems[row["problem"]].model_copy(update={"question": attacked})
    settings = params.validate(tree, "params.yaml")
    data = token_values.collect(records.load(root / "results"), problems, settings, problems[:2])
    (root / "synthetic.html").write_text(pages.viewer_page(data))
    return root, data, (row["problem"], row["sample"])


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, study):
    """Opens a page offline; at the end of the test nothing was asked for and no error was reported."""
    contexts, requested, errors = [], [], []

    def visit(name: str, **options) -> Page:
        path = study[0] / "synthetic.html" if name == "synthetic" else ROOT / "results" / f"{name}.html"
        options = {"viewport": {"width": 1100, "height": 900}, **options}
        contexts.append(browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(path.as_uri())
        assert requested.pop(0) == path.as_uri()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors
    assert not [url for url in requested if not url.startswith("data:")]


def options(page: Page, name: str) -> list[str]:
    return page.locator(f"select[name={name}] option").evaluate_all("all => all.map(one => one.value)")


def choose(page: Page, **values) -> None:
    for name, value in values.items():
        page.select_option(f"select[name={name}]", str(value))


def shown(page: Page, panel: str = "policy") -> list[str]:
    """The tokens as they were sampled: without the signs for line breaks and the end."""
    texts = page.locator(f".{panel} .token").all_text_contents()
    return ["" if text == "end" else text.replace("⏎\n", "\n") for text in texts]


def data_of(page: Page) -> dict:
    return json.loads(page.locator("#viewer-data").text_content())


def trace_of(page: Page, data: dict) -> dict:
    """The trace that is chosen, in the data."""
    problem, backbone, method, seed, sample = (
        page.input_value(f"select[name={name}]")
        for name in ("problem", "backbone", "method", "seed", "trace")
    )
    chosen = data["problems"][int(problem)]["traces"][backbone][method][seed]
    steps = list(dict.fromkeys(trace.get("step") for trace in chosen))
    step = steps[int(page.input_value("input[name=step]"))]
    return next(trace for trace in chosen if (str(trace["sample"]), trace.get("step")) == (sample, step))


@pytest.mark.parametrize("name", PAGES)
def test_every_option_of_every_control_shows_its_trace(visit, name):
    page = visit(name)
    data = data_of(page)
    seen = {control: set() for control in SELECTS}
    choose(page, answer="all")
    for control in SELECTS:
        for value in options(page, control):
            choose(page, **{control: value})
            seen[control].add(value)
            if page.input_value("select[name=trace]"):
                trace = trace_of(page, data)
                assert shown(page) == [data["tokens"][i] for i in trace["tokens"]]
        choose(page, **{control: options(page, control)[0]})
    assert {"right", "wrong", "all"} == seen["answer"]
    assert [control for control, values in seen.items() if len(values) < 2] in ([], ["trace"], ["seed"])


@pytest.mark.parametrize("name", PAGES)
def test_colour_and_readout_are_the_values_chosen(visit, name):
    page = visit(name)
    choose(page, answer="all")
    data = data_of(page)
    trace = trace_of(page, data)
    variant = page.input_value("select[name=reward]")
    for value in options(page, "value"):
        choose(page, value=value)
        values = trace["logprob"] if value == "logprob" else trace["rewards"][variant][value]
        colours = page.locator(".policy .token").evaluate_all("all => all.map(one => one.style.background)")
        for number, colour in zip(values, colours, strict=True):
            red, green, blue, *share = map(float, re.findall(r"[\d.]+", colour))
            assert (red > blue) == ((number or 0) < 0)
            assert (share == [0.0]) == (abs(number or 0) / 100 < 0.005 * limit(page) / 0.75)
        strongest = max(range(len(values)), key=lambda i: abs(values[i] or 0))
        page.locator(".policy .token").nth(strongest).hover()
        readout = page.locator(".policy .readout").text_content()
        text = page.locator(f"select[name=value] option[value={value}]").text_content()
        number = f"{abs(values[strongest]) / 100:.2f}"
        assert f"token {strongest + 1} of {len(values)}" in readout
        sign = "−" if values[strongest] < 0 else "+" if values[strongest] else ""
        assert f"{text} {sign}{number}" in readout


def limit(page: Page) -> float:
    """The end of the colour scale, which is symmetric."""
    low, high = (page.locator(f".legend .{end}").text_content() for end in ("low", "high"))
    assert low.replace("−", "+") == high
    return float(high)


def test_the_keyboard_goes_from_token_to_token(visit):
    page = visit("viewer")
    count = len(shown(page))
    page.locator(".policy .trace").focus()
    for key, place in (("", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", count),
                       ("ArrowRight", count), ("Home", 1), ("ArrowLeft", 1)):  # fmt: skip
        if key:
            page.keyboard.press(key)
        assert f"token {place} of {count}" in page.locator(".policy .readout").text_content()
        assert page.locator(".policy .token.here").count() == 1


def test_the_sparkline_points_at_tokens(visit):
    page = visit("viewer")
    spark = page.locator(".policy .spark")
    box = spark.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 5)
    count = len(shown(page))
    assert f"token {count} of {count}" in page.locator(".policy .readout").text_content()


@pytest.mark.parametrize("name", PAGES)
def test_the_filter_keeps_right_or_wrong_traces_and_counts_them(visit, name):
    page = visit(name)
    data = data_of(page)
    for answer in ("right", "wrong", "all"):
        choose(page, answer=answer)
        backbone, method, seed = (
            page.input_value(f"select[name={n}]") for n in ("backbone", "method", "seed")
        )
        for i, problem in enumerate(data["problems"]):
            if "watched" in problem:
                continue
            kept = [
                trace["sample"]
                for trace in problem["traces"][backbone][method][seed]
                if answer == "all" or trace["right"] == (answer == "right")
            ]
            title = page.locator(f"select[name=problem] option[value='{i}']").text_content()
            assert title.endswith(f"({len(kept)})")
            choose(page, problem=i)
            assert options(page, "trace") == [str(sample) for sample in kept]


def test_the_first_wrong_step_is_underlined_and_named(visit, study):
    page = visit("synthetic")
    _, data, _ = study
    checked = 0
    for problem in options(page, "problem"):
        if "watched" in data["problems"][int(problem)]:
            continue
        choose(page, problem=problem)
        for sample in options(page, "trace"):
            choose(page, trace=sample)
            trace = trace_of(page, data)
            text = "".join(data["tokens"][i] for i in trace["tokens"])
            if trace["wrong"] is None:
                continue
            start, end = traces.unit_spans(text)[trace["wrong"]]
            underlined = page.locator(".policy .token.wrong").all_text_contents()
            assert "".join(underlined).replace("⏎", "").removesuffix("end") == text[start:end]
            badges = page.locator(".policy .badge").all_text_contents()
            assert badges.count("first wrong step") == 1
            assert {"reward", "log-probability", "entropy"} < set(badges)
            hits = page.locator(".policy .badge.hit").all_text_contents()
            variant = page.input_value("select[name=reward]")
            names = {"log-probability": "logprob", "entropy": "entropy", "reward": variant}
            assert {names[hit] for hit in hits} == {
                name for name in names.values() if trace["named"][name] == trace["wrong"]
            }
            checked += 1
    assert checked > 3


@pytest.mark.parametrize("name", PAGES)
def test_the_slider_goes_through_the_steps_of_a_training(visit, name):
    page = visit(name)
    data = data_of(page)
    slider = page.locator("input[name=step]")
    assert not slider.is_visible()
    watched = [i for i, problem in enumerate(data["problems"]) if "watched" in problem]
    choose(page, answer="all", problem=watched[0])
    assert slider.is_visible()
    choose(page, method="airl")
    backbone, seed = (page.input_value(f"select[name={control}]") for control in ("backbone", "seed"))
    written = data["problems"][watched[0]]["traces"][backbone]["airl"][seed]
    limits = set()
    slider.focus()
    for step in dict.fromkeys(trace["step"] for trace in written):
        at_step = [str(trace["sample"]) for trace in written if trace["step"] == step]
        assert page.locator("output").text_content() == str(step)
        assert options(page, "trace") == at_step
        assert shown(page) == [data["tokens"][i] for i in trace_of(page, data)["tokens"]]
        assert f"after {step} steps of training" in page.locator(".legend").text_content()
        limits.add(limit(page))
        page.keyboard.press("ArrowRight")
    assert len(limits) == 1  # so that colours compare from step to step
    choose(page, problem=0)
    assert not slider.is_visible()


def test_markup_and_script_in_a_trace_are_text(visit, study):
    page = visit("synthetic")
    _, _, (problem, sample) = study
    choose(page, backbone="qwen2", problem=problem)
    choose(page, trace=sample)
    assert "".join(shown(page)) == HOSTILE
    assert "<script>" in page.locator(".question").text_content()
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("#viewer img, #viewer script").count() == 0


def test_a_policy_that_no_reward_judged_still_has_its_log_probabilities(visit):
    page = visit("synthetic")
    choose(page, method="sft", answer="all")
    choose(page, seed="1", answer="all")
    assert options(page, "reward") == [] and options(page, "value") == ["logprob"]
    assert "no reward was asked" in page.locator(".legend").text_content()
    assert shown(page)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1100])
def test_no_page_scrolls_sideways(visit, name, width):
    page = visit(name, viewport={"width": width, "height": 844})
    for details in page.locator("details").all():
        details.evaluate("one => one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_a_page_follows_dark_and_light_and_prints_on_white(visit, name):
    page = visit(name, color_scheme="dark")

    def lightness(property: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.body)['{property}']")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    assert lightness("backgroundColor") < 60 < 180 < lightness("color")
    page.emulate_media(media="print")
    assert lightness("backgroundColor") == 255 and lightness("color") < 60
    page.emulate_media(media="screen", color_scheme="light")
    assert lightness("backgroundColor") == 255 and lightness("color") < 60


def test_the_reports_contents_tables_and_downloads_work(visit, tmp_path):
    page = visit("report")
    for link in page.locator("nav a").all():
        link.click()
        section = page.locator(link.get_attribute("href"))
        assert section.locator("h2").evaluate("one => one.getBoundingClientRect().top") < 900
    tables = page.locator("details:has(table)").all()
    folded = next(one for one in tables if one.get_attribute("open") is None)
    assert not folded.locator("table").is_visible()
    folded.locator("summary").click()
    assert folded.locator("table").is_visible()
    links = page.locator("figcaption a[download]").all()
    with page.expect_download() as waiting:  # one: Chromium holds back the eleventh of a page
        links[0].click()
    waiting.value.save_as(tmp_path / "saved.csv")
    offered = {link.get_attribute("download"): link.get_attribute("href") for link in links}
    tables = {name: (ROOT / "results" / "tables" / name).read_bytes() for name in offered}
    assert {name: base64.b64decode(data.partition(",")[2]) for name, data in offered.items()} == tables
    assert (tmp_path / "saved.csv").read_bytes() == tables[waiting.value.suggested_filename]


def test_links_to_files_of_the_repository_lead_to_them(visit):
    page = visit("report")
    links = page.locator("a:not([download])").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    files = {link for link in links if not link.startswith("#")}
    assert files and all((ROOT / "results" / link).exists() for link in files)
