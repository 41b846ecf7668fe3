"""The credentials for a target: a key, which a command may print again and again, and a client certificate."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    Tag,
    field_validator,
    model_validator,
)

from bench.plan.expiry import valid_until
from bench.plan.redaction import SHORTEST
from bench.plan.values import PositiveSeconds, Value, header_value

LONGEST_KEY = 16_384  # characters; servers take about half as many in a header
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.", re.DOTALL)
_OPERATOR = re.compile(r"[|&;<>]|(?<!\S)~")
_REPLACED = re.compile(r"\$\w+|\$[({]|`")
_UNLIKE = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})  # OpenSSL's words
_SCHEMES = frozenset({"bearer", "basic", "token"})


def _header_secret(value: SecretStr) -> SecretStr:
    return SecretStr(header_value(value.get_secret_value()))


Secret = Annotated[
    SecretStr, AfterValidator(_header_secret), PlainSerializer(lambda _: "***", return_type=str, when_used="json")
]


def parameter_problem(name: str) -> str | None:
    """What is wrong with the name of a query parameter; None if nothing is."""
    if name and re.search(r"[?&=#\s\x00-\x1f]", name) is None:
        return None
    return f"{name[:60]!r} is not the name of a parameter, such as api-version"


def query_value(value: SecretStr) -> SecretStr:
    """A valid value of a query parameter. Raises ValueError; the value may be secret and is not in its message."""
    text = value.get_secret_value().strip()
    if not text.isprintable():
        raise ValueError("has a line break or a control character; one line of text is expected")
    return SecretStr(text)


class KeyCommand(Value):
    """A command that prints the API key; it is run again before the key expires."""

    command: Annotated[
        str | tuple[str, ...],
        PlainSerializer(lambda command: shown_program(command), return_type=str, when_used="json"),
    ] = Field(description="program and arguments, run without a shell, such as az account get-access-token; or a list")
    every: PositiveSeconds = Field(600.0, ge=1.0, description="time between two runs; shorter than a key lives")
    timeout: PositiveSeconds = Field(10.0, description="time limit for one run")
    folder: str | None = Field(None, description="folder to run it in; default: the scenario's")

    _given: list[str] = PrivateAttr(default_factory=list)
    """All keys that it has printed so far, the current one last. bench.targets.keys runs the command and adds them."""

    @field_validator("command")
    @classmethod
    def _can_be_run(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        words = _words(value)
        if not words or not words[0].strip():
            raise ValueError("is empty; a program and its arguments are expected")
        if any("\0" in word for word in words):
            raise ValueError("has the character U+0000, which no argument can have")
        if isinstance(value, str) and (found := _for_a_shell(value, words[0])) is not None:
            raise ValueError(
                f"has {found}, which means nothing without a shell; write sh -c '…', or put it in quotes if it is meant"
            )
        return value

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return _words(self.command)

    @property
    def shown(self) -> str:
        """The program without its arguments, which may be secret."""
        return shown_program(self.command)

    @property
    def present(self) -> str | None:
        """The current key; None before the command has run."""
        return self._given[-1] if self._given else None

    @property
    def given(self) -> tuple[str, ...]:
        """All keys that it has printed so far."""
        return tuple(self._given)

    def give(self, key: str) -> None:
        """Use this key from now on."""
        self._given.append(key)


def _words(command: str | tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError."""
    if not isinstance(command, str):
        return command
    try:
        return tuple(shlex.split(command))
    except ValueError:
        raise ValueError("has a quotation mark that is not closed") from None


def shown_program(command: str | tuple[str, ...]) -> str:
    """The program of a command; its arguments may be secret."""
    program, *arguments = _words(command)
    return f"{program} …" if arguments else program


def _for_a_shell(command: str, program: str) -> str | None:
    """The part of a command that only a shell understands; None if there is none."""
    bare = _QUOTED.sub(" ", command)
    if (found := _OPERATOR.search(bare)) is not None:
        return found.group()
    within = bare if Path(program).name in SHELLS else re.sub(r"'[^']*'", " ", command)  # "…" holds variables
    return None if (found := _REPLACED.search(within)) is None else found.group()


def key_of(output: str) -> str:
    """The key in what a command printed. Raises ValueError, whose message does not show it."""
    text = output.strip()
    if not text:
        raise ValueError("it printed nothing; the key is expected on standard output")
    if text[0] in "{[":
        raise ValueError("it printed JSON; the key alone is expected, as jq -r prints it")
    if len(lines := text.splitlines()) > 1:
        raise ValueError(f"it printed {len(lines)} lines; the key alone is expected")
    if text.partition(" ")[0].lower() in _SCHEMES and " " in text:
        raise ValueError(f"what it printed begins with {text.partition(' ')[0]}; the key alone is expected")
    if not SHORTEST <= len(text) <= LONGEST_KEY:
        raise ValueError(
            f"it printed {len(text):,} characters; a key of {SHORTEST} to {LONGEST_KEY:,} characters is expected"
        )
    try:
        return header_value(text)
    except ValueError as error:
        raise ValueError(f"what it printed {error}") from None


def _text_or_command(value: object) -> str:
    return "<command>" if isinstance(value, dict | KeyCommand) else "<text>"


Key = Annotated[
    Annotated[Secret, Tag("<text>")] | Annotated[KeyCommand, Tag("<command>")], Discriminator(_text_or_command)
]


def present_key(key: SecretStr | KeyCommand | None) -> str | None:
    """The current key; None if there is none, or its command has not run yet."""
    return key.get_secret_value() if isinstance(key, SecretStr) else None if key is None else key.present


def all_keys(key: SecretStr | KeyCommand | None) -> tuple[str, ...]:
    """Every key that was ever used."""
    return (key.get_secret_value(),) if isinstance(key, SecretStr) else () if key is None else key.given


class ClientCertificate(Value):
    """A certificate of our own, for servers that ask for one."""

    cert: str = Field(
        description="PEM file with the certificate, and those between it and its authority; relative to the scenario"
    )
    key: str | None = Field(None, description="PEM file with its private key; default: in the same file")
    password: Secret | None = Field(None, description="password of the private key, as ${NAME} from the environment")

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, value: object) -> object:
        return {"cert": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _opens(self) -> ClientCertificate:
        texts = {path: _pem(path) for path in dict.fromkeys((self.cert, self.key or self.cert))}
        if "-----BEGIN CERTIFICATE-----" not in texts[self.cert]:
            raise ValueError(f"{_cut(self.cert)} has no certificate; a PEM file with BEGIN CERTIFICATE is expected")
        held = texts[key := self.key or self.cert]
        if "PRIVATE KEY-----" not in held:
            hint = "; name its file with key" if self.key is None else ""
            raise ValueError(f"{_cut(key)} has no private key; a PEM file with BEGIN PRIVATE KEY is expected{hint}")
        if "ENCRYPTED" in held and self.password is None:
            raise ValueError(f"the private key in {_cut(key)} is encrypted; password: ${{NAME}} is expected")
        self._load(key)
        if (until := valid_until(texts[self.cert])) < (now := datetime.now(UTC)):
            raise ValueError(
                f"the certificate in {_cut(self.cert)} expired at {until:%Y-%m-%d %H:%M} UTC, and it is "
                f"{now:%Y-%m-%d %H:%M} UTC; a new one is expected"
            )
        return self

    def _load(self, key: str) -> None:
        """Raises ValueError where certificate, key and password do not go together."""
        import ssl  # imported late, because gevent patches it for a load

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self.cert, key, self.secret)
        except ssl.SSLError as error:
            if error.reason in _UNLIKE:
                raise ValueError(
                    f"the private key in {_cut(key)} is not that of the first certificate in {_cut(self.cert)}"
                ) from None
            why = "; the password may be wrong" if self.password else ""
            reason = f" ({error.reason})" if error.reason else "; it may not be whole"
            raise ValueError(f"{_cut(self.cert)} with its private key cannot be read{why}{reason}") from None

    @property
    def secret(self) -> str:
        """The password; empty if there is none, so that OpenSSL does not ask for it."""
        return "" if self.password is None else self.password.get_secret_value()


def _pem(path: str) -> str:
    """The text of a PEM file. Raises ValueError."""
    try:
        return Path(path).read_bytes().decode("ascii", "replace")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{_cut(path)} cannot be read: {why}") from None


def _cut(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:150]}…{path[-40:]}"
