"""What can be set from outside, by environment variables that start with TOLLGATE_."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.products import PRODUCTS

SECRET_BYTES_MIN: Final = 32


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
        raise ValueError(
            f"a secret has at least {SECRET_BYTES_MIN} bytes: make one with python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return secret


Secret = Annotated[SecretStr, AfterValidator(_long_enough)]


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


def _origin(text: str) -> str:
    """As browsers send it: `*` is none, since it would let every page in."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is no origin: scheme, host and port in small letters are expected, such as https://app.example.com")
    return text


Origin = Annotated[str, AfterValidator(_origin)]


def _product(name: str) -> str:
    if name not in PRODUCTS:
        raise ValueError(f"there is no product {name!r}: some of {', '.join(PRODUCTS)}, or none")
    return name


Product = Annotated[str, AfterValidator(_product)]


class Settings(BaseSettings):
    """Flags of the command line win over these; these win over the defaults."""

    model_config = SettingsConfigDict(env_prefix="TOLLGATE_", extra="ignore", frozen=True)

    database_url: str | None = Field(None, description="postgresql://…; absent: an embedded PostgreSQL in the data directory")
    data_dir: Path = Path(".tollgate")
    plans: Path | None = None
    admin_key: SecretStr | None = Field(None, description="a service key with the scope admin that needs no creation")
    admin_key_old: SecretStr | None = Field(None, description="another such key, while one takes the other's place")
    jwt_secret: Secret | None = Field(None, description="signs user tokens, and verifies those signed with HS256")
    jwt_secrets_old: Annotated[tuple[Secret, ...], NoDecode] = Field((), description="separated by commas: they verify, and sign nothing")
    jwks_url: str | None = Field(None, description="publishes the keys of user tokens signed with RS256 or ES256")
    jwt_audience: str | None = None
    statement_seconds_max: float | None = Field(30, description="how long one SQL statement of a request may take")
    statements: Literal["named", "unnamed"] | None = Field(
        None, description="named or unnamed; absent: what the pooler in front of the database takes"
    )
    journal_dir: Path | None = Field(
        None, description="where admitted decisions are kept until the database is back; absent: in the data directory"
    )
    journal_bytes_max: int = Field(64 * 1024 * 1024, ge=1, description="of one process's journal; beyond it nothing is admitted")
    journal_seconds_max: int = Field(
        3600, ge=1, le=7 * 24 * 3600, description="for how long decisions are admitted, and keys known, without the database"
    )
    limit_connections: int = Field(4096, ge=1, description="of each server process; beyond them only health checks are answered")
    head_seconds_max: int = Field(10, ge=1, description="until a request's line and headers are there")
    body_seconds_max: int = Field(30, ge=1, description="until a request's body is there; more where it comes at 16 KiB a second")
    bulk_bytes_max: int = Field(
        64 * 1024 * 1024,
        ge=8 * 1024 * 1024,
        description="of bodies beyond 64 KiB that one process holds at a time; more are refused with 503",
    )
    log_format: Literal["readable", "json"] = Field("readable", description="how the log looks: for people, or an object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is told of the service; lines of requests have a switch of their own"
    )
    access_log: bool = Field(True, description="a line on standard output for each request")
    schema_newer: bool = Field(False, description="set by `tollgate serve` for its server processes")
    public_url: str = Field("http://127.0.0.1:8000", description="how callers reach the service; upload URLs begin with it")
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = Field(
        (), description="separated by commas: the origins of web pages that may call with user tokens, and upload"
    )
    products: Annotated[tuple[Product, ...], NoDecode] = Field(
        PRODUCTS, description="separated by commas, or none: the reference products that are served, and have tables; absent: all"
    )
    portal_css: Path | None = Field(None, description="a style sheet that comes after the usage page's own: sets its variables")
    portal_logo: Path | None = Field(None, description="a picture at the head of the usage page: PNG or SVG")
    keep_deleted_sums: bool = Field(
        False, description="of customers that are deleted, how much was used of each feature in each month stays, of all of them together"
    )
    upload_secret: Secret | None = Field(None, description="signs upload URLs; absent: one that is kept in the data directory")

    @property
    def journal_directory(self) -> Path:
        """The one that is set, or the one in the data directory."""
        return self.journal_dir or self.data_dir / "journal"

    @field_validator("jwt_secrets_old", "cors_origins", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("products", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        names = [part.strip() for part in value.split(",") if part.strip()]
        return () if names == ["none"] else tuple(dict.fromkeys(names)) or PRODUCTS

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator(
        "database_url",
        "jwks_url",
        "jwt_audience",
        "admin_key",
        "admin_key_old",
        "jwt_secret",
        "upload_secret",
        "statements",
        "journal_dir",
        "portal_css",
        "portal_logo",
        mode="before",
    )
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        return value or None


def revealed(secret: SecretStr | None) -> str | None:
    """The text of a secret, where there is one."""
    return secret.get_secret_value() if secret else None
