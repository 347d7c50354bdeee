"""The page in a real browser, without a network."""

import base64
import shutil
import time
from pathlib import Path

import invented
import pytest

from pipeline.report import page

selenium = pytest.importorskip("selenium", reason="needs selenium (the dev requirements)")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and chromedriver on the PATH"
)
HOSTILE = "<script>self.hacked = 1</script>"
WAIT_S = 20


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    made = invented.runs(60)
    made[0] = invented.run_of(seed=0, energy_j=20.0, name=f"{HOSTILE}<img src=x onerror=hacked=1>")
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(invented.report_data(made, full=True)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def started():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(WAIT_S)
    yield driver
    driver.quit()


@pytest.fixture
def browser(started, report):
    show(started, 1280, "light")
    started.get(report.as_uri())
    started.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    yield started
    severe = [entry for entry in started.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def show(driver, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def until(driver, script: str, *given: object) -> object:
    """What the script says, once that is something."""
    end = time.monotonic() + WAIT_S
    while not (told := driver.execute_script(script, *given)):
        assert time.monotonic() < end, script
        time.sleep(0.05)
    return told


def drawn(driver, name: str) -> str:
    """Scroll there; the picture's text once it is drawn."""
    driver.execute_script("document.getElementById(arguments[0]).scrollIntoView()", name)
    script = (
        "const svgs = [...document.querySelectorAll(`#${arguments[0]} .main-svg`)];"
        "return svgs.map((svg) => svg.textContent).join(' ').trim()"
    )
    return str(until(driver, script, name))


def rows(driver) -> list[list[str]]:
    return driver.execute_script(
        "return [...document.querySelectorAll('#ranking-table tbody tr:not([hidden])')]"
        ".map((row) => [...row.cells].map((cell) => cell.dataset.order ?? cell.innerText))"
    )


def press(driver, selector: str) -> None:
    driver.execute_script("document.querySelector(arguments[0]).click()", selector)


def test_a_name_that_is_a_program_is_shown_and_not_run(browser):
    assert HOSTILE in browser.execute_script("return document.querySelector('h1').textContent")
    assert HOSTILE in drawn(browser, "loss-epochs")
    assert browser.execute_script("return self.hacked") is None


def test_nothing_is_asked_of_the_network(browser):
    drawn(browser, "importance")
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert browser.execute_script(script) == []


def test_a_script_of_anybody_else_does_not_run(browser):
    browser.execute_script(
        "const guest = document.createElement('script'); guest.textContent = 'self.hacked = 1';"
        "document.body.append(guest)"
    )
    assert browser.execute_script("return self.hacked") is None
    assert any("Content Security Policy" in e["message"] for e in browser.get_log("browser"))


def test_figures_are_drawn_when_they_come_into_sight(browser):
    assert browser.execute_script("return self.Plotly") is None
    assert "batch_size" in drawn(browser, "importance")
    script = "return document.querySelector('#samplers .main-svg')"
    assert browser.execute_script(script) is None


def test_a_heading_sorts_and_says_how(browser):
    heading = "#ranking-table th:nth-child(8)"
    before = rows(browser)
    press(browser, f"{heading} button")
    accuracies = [float(row[7]) for row in rows(browser)]
    assert accuracies == sorted(accuracies)
    assert accuracies != [float(row[7]) for row in before]
    press(browser, f"{heading} button")
    accuracies = [float(row[7]) for row in rows(browser)]
    assert accuracies == sorted(accuracies, reverse=True)
    script = "return document.querySelector(arguments[0]).ariaSort"
    assert browser.execute_script(script, heading) == "descending"
    assert browser.execute_script(script, "#ranking-table th") is None


def test_a_filter_keeps_the_rows_with_all_of_its_words(browser):
    browser.execute_script(
        "const filter = document.getElementById('filter'); filter.value = 'adamw 128';"
        "filter.dispatchEvent(new Event('input'))"
    )
    kept = [row[1] for row in rows(browser)]
    assert kept
    assert all("adamw" in name and "128" in name for name in kept)


def test_another_hyperparameter_is_picked_from_a_list(browser):
    assert "0.03162" in drawn(browser, "bars-lr")
    browser.execute_script(
        "const pick = document.getElementById('pick-bars'); pick.value = 'bars-optimizer';"
        "pick.dispatchEvent(new Event('change'))"
    )
    assert "rmsprop" in drawn(browser, "bars-optimizer")
    assert browser.execute_script("return document.getElementById('bars-lr').hidden")


def test_colours_follow_the_wish_for_dark(browser):
    drawn(browser, "importance")
    colour = "return getComputedStyle(document.querySelector('#importance .bars path')).fill"
    assert browser.execute_script(colour) == "rgb(0, 114, 178)"
    show(browser, 1280, "dark")
    until(browser, f"return (() => {{ {colour} }})() === 'rgb(90, 180, 240)'")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_never_wider_than_the_screen(browser, width):
    show(browser, width, "light")
    drawn(browser, "bars-lr")
    drawn(browser, "energy-per-epoch")
    browser.execute_script(
        "for (const each of document.querySelectorAll('details')) each.open = true"
    )
    wide = "const { scrollWidth, clientWidth } = document.documentElement; return [%s]"
    across, room = browser.execute_script(wide % "scrollWidth, clientWidth")
    assert across == room <= width


def test_on_paper_all_figures_are_there_and_light(browser):
    show(browser, 1280, "dark")
    browser.execute_script(
        "addEventListener('beforeprint', () => { self.printed ="
        " [...document.querySelectorAll('figure:not([hidden]) .canvas')].map((canvas) =>"
        " canvas.querySelector('.main-svg')?.style.background ?? 'blank') })"
    )
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    grounds = browser.execute_script("return self.printed")
    assert len(grounds) > 5
    assert set(grounds) == {"rgb(255, 255, 255)"}


def test_it_works_in_a_frame_like_that_of_mlflow_s_artifact_view(browser, report):
    from selenium.webdriver.common.by import By

    html = report.read_text(encoding="utf-8")
    browser.get("about:blank")
    browser.execute_script(
        "const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts';"
        "frame.width = 1200; frame.height = 800;"
        "frame.src = URL.createObjectURL(new Blob([arguments[0]], {type: 'text/html'}));"
        "document.body.append(frame)",
        html,
    )
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    until(browser, "return document.readyState === 'complete' && self.origin === 'null'")
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    assert "batch_size" in drawn(browser, "importance")
    press(browser, "nav a[href='#ranking']")
    top = "return Math.abs(document.getElementById('ranking').getBoundingClientRect().top) < 100"
    until(browser, top)
    assert "download this page" in browser.execute_script(
        "return document.querySelector('.tools').textContent"
    )


def test_a_figure_is_kept_as_svg(browser, tmp_path):
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    drawn(browser, "importance")
    press(browser, "#importance button[data-format=svg]")
    end = time.monotonic() + WAIT_S
    while not (tmp_path / "importance.svg").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "batch_size" in (tmp_path / "importance.svg").read_text(encoding="utf-8")
