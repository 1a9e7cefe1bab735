"""What can be set from outside, by environment variables that start with TOLLGATE_."""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Flags of the command line win over these; these win over the defaults."""

    model_config = SettingsConfigDict(env_prefix="TOLLGATE_", extra="ignore", frozen=True)

    database_url: str | None = Field(None, description="postgresql://…; absent: an embedded PostgreSQL in the data directory")
    data_dir: Path = Path(".tollgate")
    plans: Path | None = None
    admin_key: SecretStr | None = Field(None, description="a service key with the scope admin that needs no creation")
    jwt_secret: SecretStr | None = Field(None, description="verifies user tokens signed with HS256")
    jwks_url: str | None = Field(None, description="publishes the keys of user tokens signed with RS256 or ES256")
    jwt_audience: str | None = None
    statement_seconds_max: float | None = Field(30, description="how long one SQL statement of a request may take")
    public_url: str = Field("http://127.0.0.1:8000", description="how callers reach the service; upload URLs begin with it")
    upload_secret: SecretStr | None = Field(None, description="signs upload URLs; absent: one that is kept in the data directory")

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("database_url", "jwks_url", "jwt_audience", "admin_key", "jwt_secret", "upload_secret", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        return value or None


def revealed(secret: SecretStr | None) -> str | None:
    """The text of a secret, where there is one."""
    return secret.get_secret_value() if secret else None
