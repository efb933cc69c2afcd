"""The web app as people use it: a real browser with a film for a camera."""

import json
import re
import signal
import sqlite3

from selenium.webdriver.common.by import By
from web_server import (
    PASSWORD,
    free_port,
    make_certificate,
    running,
    start_server,
    stop_server,
)

from liveness.web.face_checks import LIMIT_S, NOT_LET_IN, NOT_LIVE
from tests.waiting import wait_for


def press(browser, selector):
    browser.find_element(By.CSS_SELECTOR, selector).click()


def text_of(browser, selector):
    """Its text, empty if it is not there; in one step, for the page may be leaving."""
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return browser.execute_script(script, selector)


def message(browser):
    return text_of(browser, "#message")


def fill(browser, name, password):
    browser.find_element(By.ID, "name").send_keys(name)
    browser.find_element(By.ID, "password").send_keys(password)


def sign_up(browser, server, name, *, start=True):
    browser.get(f"{server.url}/signup")
    fill(browser, name, PASSWORD)
    press(browser, "#consent")
    press(browser, "main form button")
    wait_for(lambda: browser.current_url.endswith("/face"))
    if start:
        press(browser, "#start")


def log_in(browser, server, name, password=PASSWORD):
    browser.get(f"{server.url}/login")
    fill(browser, name, password)
    press(browser, "main form button")
    wait_for(lambda: browser.find_elements(By.ID, "start"))
    press(browser, "#start")


def log_out(browser):
    press(browser, "form[action='/logout'] button")
    wait_for(lambda: browser.find_elements(By.LINK_TEXT, "Log in"))


def heading(browser):
    return text_of(browser, "h1")


def is_at_home(browser, name):
    return heading(browser) == f"Hello, {name}"


def rows(server, table):
    with sqlite3.connect(server.database) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def has_no_errors(browser):
    return [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


class TestAccount:
    def test_real_film_signs_up_and_logs_in(self, server, browse):
        browser = browse("real")
        sign_up(browser, server, "Grace")
        wait_for(lambda: is_at_home(browser, "Grace"))
        assert "3 encodings" in browser.page_source
        log_out(browser)
        log_in(browser, server, "grace ")  # neither case nor margins count
        wait_for(lambda: is_at_home(browser, "Grace"))
        assert re.search(r"let in.*signed up", browser.page_source, re.DOTALL)
        assert not has_no_errors(browser)

    def test_fake_film_is_refused(self, server, browse):
        browser = browse("fake")
        log_in(browser, server, "Grace")
        wait_for(lambda: message(browser) == NOT_LET_IN)
        browser.get(f"{server.url}/")
        assert heading(browser) == "Is this a live face?"
        sign_up(browser, server, "Nobody")
        wait_for(lambda: message(browser) == NOT_LIVE)
        assert len(rows(server, "account")) == 1

    def test_other_portrait_with_the_right_password_is_refused(self, server, browse):
        browser = browse("other")
        sign_up(browser, server, "Other")  # it passes for live, so the refusal
        wait_for(lambda: is_at_home(browser, "Other"))
        log_out(browser)
        log_in(browser, server, "Grace")  # is because of who it is
        wait_for(lambda: message(browser) == NOT_LET_IN)
        assert "face refused" in server.log

    def test_export_and_delete(self, server, browse):
        browser = browse("real")
        log_in(browser, server, "Grace")
        wait_for(lambda: is_at_home(browser, "Grace"))
        text = browser.execute_async_script(
            "fetch('/export').then(r => r.text()).then(arguments[0])"
        )
        data = json.loads(text)
        assert data["name"] == "Grace"
        assert [len(values) for values in data["encodings"]] == [128] * 3
        assert data["attempts"][0]["result"] == "let in"
        numbers = [row[2] for row in rows(server, "encoding")][:3]
        assert all(one in server.database.read_bytes() for one in numbers)
        press(browser, "a[href='/delete']")
        browser.find_element(By.ID, "password").send_keys("wrong password")
        press(browser, "button.danger")
        wait_for(lambda: "The password is wrong" in browser.page_source)
        browser.find_element(By.ID, "password").send_keys(PASSWORD)
        press(browser, "button.danger")
        wait_for(lambda: "Your account is deleted" in browser.page_source)
        assert [row[1] for row in rows(server, "account")] == ["Other"]
        assert not any(one in server.database.read_bytes() for one in numbers)


def test_frozen_frame_fails_the_challenge(tmp_path, browse):
    with running(tmp_path, "--challenge", "random") as server:
        browser = browse("frozen")
        sign_up(browser, server, "Frozen")
        wait_for(lambda: re.match(r"\d/4: (turn|blink)", message(browser)))
        ends = wait_for(
            lambda: message(browser).startswith(f"That took more than {LIMIT_S:.0f}"),
            limit_s=LIMIT_S + 20,
        )
        assert ends and not rows(server, "account")
        assert browser.find_element(By.ID, "again").is_displayed()


class TestCamera:
    def test_denied(self, server, browse):
        browser = browse("real", allowed=False)
        browser.get(server.url)
        press(browser, "#start")
        wait_for(lambda: message(browser) == "The camera was not allowed.")
        assert browser.find_element(By.ID, "again").is_displayed()

    def test_missing(self, server, browse):
        browser = browse(None)
        browser.get(server.url)
        press(browser, "#start")
        wait_for(lambda: message(browser) == "There is no camera that works.")

    def test_gone_in_the_middle(self, server, browse):
        browser = browse("real")
        browser.get(server.url)
        press(browser, "#start")
        wait_for(lambda: message(browser).lower() == "a live face")
        # As the browser does when a camera is unplugged.
        browser.execute_script(
            "stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
        )
        wait_for(lambda: message(browser) == "The camera is gone.")
        press(browser, "#again")
        wait_for(lambda: browser.find_element(By.ID, "start").is_displayed())


class TestInterruptions:
    def test_server_restarts(self, tmp_path, browse):
        port = free_port()  # one that the system chose would stay taken for a while
        first = start_server(tmp_path, "--challenge", "random", port=port)
        browser = browse("real")
        sign_up(browser, first, "Grace")
        wait_for(lambda: message(browser)[:2] == "1/")
        assert stop_server(first) == 128 + signal.SIGTERM
        wait_for(lambda: message(browser).startswith("The server does not answer"))
        second = start_server(tmp_path, "--challenge", "none", port=port)
        try:
            wait_for(lambda: message(browser).startswith("This face check is over"))
            press(browser, "#again")
            wait_for(lambda: heading(browser) == "Sign up")
            sign_up(browser, second, "Grace")
            wait_for(lambda: is_at_home(browser, "Grace"))
        finally:
            stop_server(second)

    def test_second_tab_ends_the_check_of_the_first(self, fresh_server, browse):
        browser = browse("real")
        sign_up(browser, fresh_server, "First", start=False)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        sign_up(browser, fresh_server, "Second")
        wait_for(lambda: is_at_home(browser, "Second"))
        browser.switch_to.window(first)
        press(browser, "#start")
        wait_for(lambda: browser.find_element(By.ID, "again").is_displayed())
        assert [row[1] for row in rows(fresh_server, "account")] == ["Second"]

    def test_back_button_shows_no_page_of_before(self, fresh_server, browse):
        browser = browse("real")
        sign_up(browser, fresh_server, "Grace")
        wait_for(lambda: is_at_home(browser, "Grace"))
        log_out(browser)
        browser.back()
        wait_for(lambda: heading(browser) == "Is this a live face?")
        assert "Grace" not in browser.page_source


def test_by_https_from_a_phone(tmp_path, browse):
    """The screen is as wide as a phone's."""
    pems = make_certificate(tmp_path)
    with running(tmp_path, "--challenge", "none", "--host", "0.0.0.0", *pems) as server:
        url = re.sub(r"//[^:]+", "//127.0.0.1", server.url)
        assert url.startswith("https://")
        browser = browse("real", size="390,844")
        browser.get(url)
        press(browser, "#start")
        wait_for(lambda: message(browser).lower() == "a live face")
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )
        browser.get(f"{url}/signup")
        [cookie] = browser.get_cookies()
        assert cookie["secure"] and cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"


def test_markup_in_a_name_is_text(fresh_server, browse):
    name = "<img src=x onerror=alert(1)>"  # a slash would not be a name
    browser = browse("real")
    sign_up(browser, fresh_server, name)
    wait_for(lambda: is_at_home(browser, name))
    assert not browser.find_elements(By.CSS_SELECTOR, "main img")
    assert not has_no_errors(browser)
