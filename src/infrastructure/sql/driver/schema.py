"""What all tables share: one metadata, and names for constraints, so that adapters and migrations know them."""

from typing import Final

from sqlalchemy import MetaData

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def digest(first: str, second: str) -> str:
    """SQL: a digest of two ids of a customer's, for unique indexes. Two different pairs do not have the same one (migration 0008)."""
    return f"ids_digest_v1({first}, {second})"
