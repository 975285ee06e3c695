"""The console in a real browser on real services: actions change the next recommendations."""

import re
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser, Page, expect

from eddy_cli.ports import HOST
from tests.browser import browser
from tests.poll import poll_until_sync
from tests.service import Service, running, running_together

pytestmark = pytest.mark.stack

ITEMS, USERS = 40, 20


@pytest.fixture(scope="module")
def gateway(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Half of the users have played even items, the others odd ones. No model: the scorer ranks by popularity fallback."""
    folder = tmp_path_factory.mktemp("console")
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": f"{folder.parent.name}-console.",
        "EDDY_STATE_DIR": str(folder / "state"),
    }
    with running_together(("features", "scorer", "gateway"), environment, folder) as services:
        gateway = services["gateway"]
        for number in range(ITEMS):
            item = {"title": f"Film number {number}", "categories": [("Even", "Odd")[number % 2]]}
            gateway.ask("PUT", f"/v1/items/i{number}", item)
        events = [
            {"user_id": f"u{user}", "scenario": "video", "action": "play", "item_id": f"i{2 * step + user % 2}"}
            for user in range(USERS)
            for step in range(user % 5, user % 5 + 14)
        ]
        offset = gateway.ask("POST", "/v1/events", events)["accepted"][-1]["offset"]
        assert gateway.ask("GET", f"/v1/recommendations/u{USERS - 1}?scenario=video&after_offset={offset}")["items"]
        poll_until_sync(lambda: services["scorer"].metric("eddy_records_total", 'topic="item-features"') >= ITEMS / 2)
        yield gateway


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that fails the test if its script logs an error."""
    errors: list[str] = []
    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(20_000)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield opened
    opened.close()
    assert not [error for error in errors if not re.search("401|422|504", error)]  # expected refusals


def feed(page: Page) -> list[str]:
    return page.locator("#feed .title").all_inner_texts()


def open_feed(page: Page, gateway: Service, user: str, scenario: str = "video") -> None:
    page.goto(f"http://{HOST}:{gateway.port}/?scenario={scenario}&user={user}")
    expect(page.locator("#feed li")).to_have_count(10)


def test_rejected_items_do_not_come_back_until_they_are_liked(gateway: Service) -> None:
    def recommended(offset: int = 0) -> list[str]:
        path = f"/v1/recommendations/rejecter?scenario=music&limit=10&after_offset={offset}"
        return [item["item_id"] for item in gateway.ask("GET", path)["items"]]

    def feedback(action: str, item_ids: list[str]) -> int:
        event = {"user_id": "rejecter", "scenario": "music", "action": action}
        accepted = gateway.ask("POST", "/v1/events", [event | {"item_id": item_id} for item_id in item_ids])
        return int(accepted["accepted"][-1]["offset"])

    rejected: list[str] = []
    for _ in range(3):
        first = recommended()[:3]
        assert not set(first) & set(rejected)
        rejected += first
        assert not set(recommended(feedback("skip", first))) & set(rejected)
    liked = rejected[0]
    offset = feedback("like", [liked])
    assert liked in [item for _ in range(4) for item in recommended(offset)]


def test_an_action_changes_the_next_recommendations(page: Page, gateway: Service) -> None:
    open_feed(page, gateway, "clicker")
    before = feed(page)
    page.locator("#feed li").first.get_by_role("button", name="Like").click()
    expect(page.locator("#status")).to_contain_text("Like: " + before[0])
    after = feed(page)
    assert before[0] not in after
    assert page.locator(".change.new").count() > 0
    categories = page.locator("#feed .categories").all_inner_texts()
    liked = "Even" if int(before[0].rsplit(" ", 1)[1]) % 2 == 0 else "Odd"
    assert categories[:5].count(liked) >= 4
    expect(page.locator("#feed .reason").filter(has_text=f"Because you watched “{before[0]}”").first).to_be_visible()
    expect(page.locator("#history li")).to_have_text([f"Like: {before[0]}"])


def test_the_console_works_by_keyboard_and_with_a_screen_reader(page: Page, gateway: Service) -> None:
    open_feed(page, gateway, "keyboard")
    first = feed(page)[0]
    page.locator("#feed .title").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"Click: {first}")
    expect(page.locator("#feed .title").first).to_be_focused()
    page.get_by_role("group", name=f"Actions on {feed(page)[0]}").get_by_role("button", name="Rate 5").press(" ")
    expect(page.get_by_role("status")).to_contain_text("Rate 5: ")


def test_a_search_shows_results_and_a_new_user_starts_with_an_empty_history(page: Page, gateway: Service) -> None:
    open_feed(page, gateway, "searcher")
    page.get_by_placeholder("Search").fill("film number 7")
    page.get_by_role("search").get_by_role("button").click()
    expect(page.locator("#feed .title").first).to_have_text("Film number 7")
    page.get_by_role("button", name="New user").click()
    expect(page.locator("#status")).to_contain_text("Feed of guest-")
    expect(page.locator("#history li")).to_have_count(0)


def test_charts_follow_the_loop(page: Page, gateway: Service) -> None:
    open_feed(page, gateway, "watcher")
    expect(page.locator('[data-chart="Events"] .latest')).to_contain_text("/ s")
    line = page.locator("[data-chart=Events] polyline")
    expect(line).to_have_attribute("points", re.compile(r"\S+ \S+ \S+"), timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_console_fits_a_phone(chromium: Browser, gateway: Service, scheme: str, tmp_path: Path) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]  # two of its literals
    page = context.new_page()
    open_feed(page, gateway, f"phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)"
    assert dark == (scheme == "dark")
    context.close()


def test_a_refusal_is_shown(page: Page, gateway: Service) -> None:
    open_feed(page, gateway, "refused")
    page.evaluate("document.getElementById('user').removeAttribute('maxlength')")
    page.locator("#user").fill("x" * 300)
    page.get_by_role("button", name="Show feed").click()
    expect(page.locator("#status")).to_contain_text("256")


def test_the_console_asks_for_a_key_and_keeps_it(page: Page, kafka: str, tmp_path: Path) -> None:
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": f"{tmp_path.name}.",
        "EDDY_GATEWAY_API_KEYS": "open; sesame",
    }
    with running("gateway", environment, tmp_path / "gateway.log") as locked:
        poll_until_sync(locked.is_ready, 60, what="gateway")
        page.on("dialog", lambda dialog: dialog.accept("open; sesame"))
        page.goto(f"http://{HOST}:{locked.port}/")
        expect(page.locator("#scenario option")).to_have_count(5)
        expect(page.locator("#status")).to_contain_text("no scorer answered")
        assert page.evaluate("document.cookie") == ""
        page.goto("about:blank")  # before the gateway ends the event stream


def test_the_reference_works_without_the_internet(page: Page, gateway: Service) -> None:
    """The page fixture fails for what the content security policy blocks."""
    page.route(
        "**/*", lambda route: route.continue_() if f"{HOST}:{gateway.port}/" in route.request.url else route.abort()
    )
    page.goto(f"http://{HOST}:{gateway.port}/docs")
    expect(page.locator(".opblock-summary-path").filter(has_text="/v1/events")).to_be_visible()
    page.locator(".opblock-summary").filter(has_text="/v1/recommendations").click()
    page.get_by_role("button", name="Try it out").click()


def test_no_request_makes_the_gateway_fail(gateway: Service) -> None:
    """Requests generated by Schemathesis from the OpenAPI specification, valid and invalid."""
    import schemathesis  # takes seconds to import: only this test needs it

    schema = schemathesis.openapi.from_url(f"http://{HOST}:{gateway.port}/openapi.json")
    statuses: list[int] = []
    for operation in (result.ok() for result in schema.get_all_operations()):

        @hypothesis.given(operation.as_strategy())
        @hypothesis.settings(
            max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
        )
        def ask(case: schemathesis.Case) -> None:
            answer = case.call()
            assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.status_code} {answer.text}"
            statuses.append(answer.status_code)

        ask()
    assert {202, 200, 422} <= set(statuses)
