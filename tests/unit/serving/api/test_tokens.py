"""The tokens file: lines, modes, and the command that adds a token."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.token_gate import Clock, Gate, gate, line

from adloom.cli import main
from adloom.errors import ConfigError
from adloom.serving.api import auth, tokens
from adloom.serving.api.auth import TokenAuth


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class TestFile:
    def test_holds_hashes_and_is_its_owners(self, path: Path) -> None:
        token = auth.add_token(path, "bidder", ["decide", "feedback"], 2000)
        assert token not in path.read_text(encoding="utf-8")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (found,) = tokens.read(path).tokens
        assert (found.name, found.scopes, found.rate) == ("bidder", frozenset({"decide", "feedback"}), 2000)
        assert found.digest == hashlib.sha256(token.encode()).digest()

    def test_comments_and_empty_lines(self, path: Path) -> None:
        asked = gate(path, "# who may ask\n\n" + line("bidder", "b").strip() + "   # since May\n")
        assert [asked.status("b"), asked.status("b", kind="bearer"), asked.status("# since May")] == [200, 200, 401]

    def test_a_name_has_one_token(self, path: Path) -> None:
        auth.add_token(path, "bidder", ["decide"])
        with pytest.raises(ConfigError, match="bidder has a token; choose another name"):
            auth.add_token(path, "bidder", ["decide"])

    def test_a_last_line_without_an_end_is_not_run_into(self, path: Path) -> None:
        path.write_text(line("first", "f").strip(), encoding="utf-8")
        auth.add_token(path, "second", ["decide"])
        assert [token.name for token in tokens.read(path).tokens] == ["first", "second"]

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("bidder", "not a token; expected NAME SCOPE,SCOPE sha256:"),
            (f"bidder decide {'0' * 64}", "not a token"),
            (f"bidder decide sha256:{'0' * 63}", "not a token"),
            (f"bidder decide sha256:{'0' * 64} 5/min", "not a token"),
            (
                f"bidder decide,root sha256:{'0' * 64}",
                "scope 'root', expected of decide, feedback, studio, trigger, admin",
            ),
            (f"bidder , sha256:{'0' * 64}", "scope ''"),
            (f"bidder decide sha256:{'0' * 64} 0/s", "a rate of 0/s, expected 1 to 1000000000"),
            (f"bidder decide sha256:{'0' * 64} 1000000001/s", "a rate of 1000000001/s, expected 1 to"),
            (f"bidder decide sha256:{'0' * 64} {'9' * 400}/s", "a rate of 999999999999/s, expected 1 to"),
            (f"bidder decide sha256:{'0' * 64} {'9' * 5000}/s", "a rate of 999999999999/s, expected 1 to"),
        ],
    )
    def test_a_broken_line_is_named_without_what_it_holds_and_costs_no_other(
        self, path: Path, caplog: pytest.LogCaptureFixture, bad: str, said: str
    ) -> None:
        asked = gate(path, f"# tokens\n{line('good', 'g')}{bad}\n{line('last', 'l')}")
        assert [asked.status("g"), asked.status("l")] == [200, 200]
        (told,) = [message for message in caplog.messages if ":3: " in message]
        assert f"{said}" in told
        assert told.endswith("; the line is skipped")
        assert "0" * 40 not in told

    def test_a_rate_may_be_as_large_as_it_is_said(self, path: Path) -> None:
        asked = gate(path, line("bidder", "b", rate="1000000000/s"), workers=3)
        assert asked.status("b") == 200

    def test_one_token_under_two_names_is_neither(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        asked = gate(path, f"{line('bidder', 'same')}{line('other', 'x')}{line('ops', 'same')}")
        assert [asked.status("same"), asked.status("x")] == [401, 200]
        assert "bidder and ops are the same token" in caplog.text

    @pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o440, False), (0o640, False), (0o644, True)])
    def test_a_file_that_others_may_read_is_said(
        self, path: Path, caplog: pytest.LogCaptureFixture, mode: int, said: bool
    ) -> None:
        path.write_text(line("bidder", "b"), encoding="utf-8")
        path.chmod(mode)
        TokenAuth(path)
        assert (f"mode {mode:04o}, expected 0640 or less; `chmod 640 {path}`" in caplog.text) == said

    def test_what_is_no_file_is_refused_at_once(self, path: Path) -> None:
        os.mkfifo(path)
        for place, said in (
            (path, "not a file"),
            (path.parent, "not a file"),
            (Path("/dev/zero"), "not a file"),
            (path.with_name("large"), "more than 1048576 bytes"),
        ):
            path.with_name("large").write_bytes(bytes(2 << 20))
            with pytest.raises(ConfigError, match=f"tokens file {place}: {said}"):
                TokenAuth(place)

    @pytest.mark.parametrize("content", [b"", b"# none\n\n", b"\xff\xfe", b"all lines are wrong\n", None])
    def test_no_token_at_all(self, path: Path, content: bytes | None) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match="tokens file .*tokens: "):
            TokenAuth(path)

    def test_the_command_prints_the_token_once(self, path: Path) -> None:
        arguments = ["token", "bidder", "--scopes", "decide", "--rate", "1", "--file", str(path)]
        done = CliRunner().invoke(main.cli, arguments)
        token = done.stdout.strip()
        asked = Gate(path, clock := Clock(), TokenAuth(path, clock=clock))
        assert [asked.status(token, "feedback"), asked.status(token), asked.status(token)] == [403, 200, 429]
        wrong = CliRunner().invoke(main.cli, ["token", "other", "--scopes", "all", "--file", str(path)])
        assert "scope 'all', expected of" in str(wrong.exception)
        assert len(tokens.read(path).tokens) == 1
