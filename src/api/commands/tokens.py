"""User tokens, signed with the configured secret."""

from api.commands import CommandFailed
from api.commands.database import NOTHING_HERE
from api.container import utc_now
from api.settings import Settings, revealed
from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError
from infrastructure.user_tokens import JwtUserTokens


def sign(settings: Settings, customer_id: str, ttl_seconds: int) -> str:
    """A token for the customer. Raises CommandFailed where there is no secret to sign it with."""
    secret = revealed(settings.jwt_secret)
    if secret is None and settings.database_url is None and settings.jwks_url is None:
        if not (settings.data_dir / "jwt_secret").exists():
            raise CommandFailed(NOTHING_HERE.format(settings.data_dir), status=2)
        try:
            secret = DataDirectory(settings.data_dir).secret("jwt_secret")
        except DataDirectoryError as error:
            raise CommandFailed(str(error)) from error
    try:
        return JwtUserTokens(utc_now, secret=secret, audience=settings.jwt_audience).sign(customer_id, ttl_seconds)
    except ValueError as error:
        raise CommandFailed(f"{error} Set TOLLGATE_JWT_SECRET." if secret is None else str(error)) from error
