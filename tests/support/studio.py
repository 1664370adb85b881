"""The studio in a browser, against a service in this process."""

from collections.abc import Iterator
from typing import Any

from tests.support.uvicorn_server import running

from adloom.serving import server
from adloom.serving.app import ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


def serve(models: Models, **dependencies: Any) -> Any:
    return running(server.create_named_app("all", models, ServiceDependencies(PseudonymKeys(None), **dependencies)))


def open_page(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Yield the page; afterwards fail if it logged an error other than a refused request."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.logged = []
    page.on("console", lambda message: page.logged.append(message.text))
    page.on("pageerror", lambda error: page.logged.append(str(error)))
    page.on("dialog", lambda dialog: page.logged.append(f"a script ran: {dialog.message}"))
    page.goto(url)
    page.locator("#pictures [name=category] option").first.wait_for(state="attached")
    yield page
    context.close()
    assert [text for text in page.logged if not text.startswith("Failed to load resource")] == []


def wait_for(page: Any, section: str) -> str:
    """Wait until a section's task has ended; return its status."""
    page.locator(f"#{section}[aria-busy=false]").wait_for()
    return str(page.locator(f"#{section} > [role=status]").inner_text())


def draw(page: Any, category: str = "Boot", n: int = 4, seed: int = 7, save: bool = True) -> str:
    form = page.locator("#pictures form")
    form.get_by_label("Category").select_option(category)
    form.get_by_label("How many").fill(str(n))
    form.get_by_label("Seed").fill(str(seed))
    form.get_by_label("Keep as drafts").set_checked(save)
    form.get_by_role("button", name="Draw").click()
    return wait_for(page, "pictures")


def options(page: Any) -> Any:
    return page.locator("#sheet").get_by_role("option")


def sheet(page: Any) -> list[str]:
    return [image.get_attribute("alt") for image in page.locator("#sheet img").all()]
