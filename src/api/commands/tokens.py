"""User tokens, signed with the configured secret."""

from api.commands import CommandFailed
from api.container import utc_now
from api.settings import Settings, revealed
from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError
from infrastructure.user_tokens import JwtUserTokens


def sign(settings: Settings, customer_id: str, ttl_seconds: int) -> str:
    """A token for the customer. Raises CommandFailed where there is no secret to sign it with."""
    secret = revealed(settings.jwt_secret)
    if secret is None and settings.database_url is None and settings.jwks_url is None:
        if not (settings.data_dir / "jwt_secret").exists():
            hint = "start one there, or name its directory with TOLLGATE_DATA_DIR"
            raise CommandFailed(f"No service has run with the data directory {settings.data_dir}: {hint}.")
        try:
            secret = DataDirectory(settings.data_dir).secret("jwt_secret")
        except DataDirectoryError as error:
            raise CommandFailed(str(error)) from error
    try:
        return JwtUserTokens(utc_now, secret=secret, audience=settings.jwt_audience).sign(customer_id, ttl_seconds)
    except ValueError as error:
        raise CommandFailed(f"{error} Set TOLLGATE_JWT_SECRET." if secret is None else str(error)) from error
