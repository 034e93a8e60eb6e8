"""API keys and the limits of tenants: one text file that ``maas keys`` writes and the gateway reads.

Tab-separated lines, times in seconds since 1970 (UTC), empty where there is no limit::

    tenant   NAME  RATE  BURST  CONCURRENCY
    key      ID    SHA256  TENANT  MODELS  EXPIRES  CREATED
    revoked  ID    SHA256  TENANT  MODELS  EXPIRES  CREATED

Only the SHA-256 of a key is kept. A key has 256 random bits, so that no salt is needed against guessing. The gateway
looks at the file every second (``AdmissionSettings.keys_reload_s``); it is replaced as a whole, never edited in place.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from maas_core.errors import WrongUse
from maas_core.files import write_atomic
from maas_core.names import check_model_name

ALL_MODELS = ("*",)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PREFIX = "maas_"
_ID_DIGITS = 12
_LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Tenant:
    """Who pays, and how much they may ask for.

    Attributes:
        rate: requests per second in the long run; None for no limit.
        burst: requests at once after a pause; None for one second's worth.
        concurrency: requests in flight; None for no limit.
    """

    name: str
    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Key:
    """One API key, without the key itself.

    Attributes:
        id: names the key in commands and metering lines; the first digits of ``digest``.
        digest: SHA-256 of the key, hexadecimal.
        models: which it may call; ``("*",)`` for all.
        expires_s: seconds since 1970; None for never.
        created_s: likewise.
        revoked: whether it was taken back.
    """

    id: str
    digest: str
    tenant: str
    models: tuple[str, ...]
    expires_s: int | None
    created_s: int
    revoked: bool = False

    @property
    def state(self) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires_s is not None and self.expires_s <= time.time() else "valid"


@dataclass
class _Records:
    tenants: dict[str, Tenant]
    keys: dict[str, Key]


class KeyStore:
    """The file, read anew with each call and changed under a lock.

    Args:
        file: see ``AdmissionSettings.keys_file``; it need not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def all_keys(self) -> list[Key]:
        """All keys, revoked ones too, oldest first."""
        return sorted(self._read().keys.values(), key=lambda key: (key.created_s, key.id))

    def tenants(self) -> dict[str, Tenant]:
        """All tenants by name."""
        return self._read().tenants

    def create(
        self, tenant: str, models: tuple[str, ...], lifetime_s: int | None = None, **limits: float | None
    ) -> tuple[Key, str]:
        """Makes a key and returns it with the secret, which is kept nowhere.

        Args:
            tenant: whose key it is.
            models: that it may call; ``("*",)`` for all.
            lifetime_s: from now; None for ever.
            limits: of the tenant (fields of :class:`Tenant`); those that are None stay as they are.

        Raises:
            WrongUse: the tenant or a model has no name that can be one, or there is a burst without a rate.
        """
        _check_tenant(tenant)
        for model in () if models == ALL_MODELS else models:
            check_model_name(model)
        with self._change() as records:
            given = {name: limit for name, limit in limits.items() if limit is not None}
            known = records.tenants.get(tenant, Tenant(tenant))
            records.tenants[tenant] = _checked(Tenant(**{**asdict(known), **given}))
            return _add_key(records, tenant, models, lifetime_s)

    def rotate(self, key_id: str, grace_s: int) -> tuple[Key, str]:
        """A new key for the same tenant and models; the old one is valid for another ``grace_s`` seconds.

        The new key lives as long from now on as the old one did from its creation.

        Raises:
            WrongUse: there is no such key, or it is not valid any more.
        """
        with self._change() as records:
            old = _valid(records, key_id)
            lifetime_s = None if old.expires_s is None else old.expires_s - old.created_s
            made = _add_key(records, old.tenant, old.models, lifetime_s)
            end_s = int(time.time()) + grace_s
            records.keys[old.id] = replace(old, expires_s=min(end_s, old.expires_s or end_s))
            return made

    def revoke(self, key_id: str) -> bool:
        """Takes a key back; False where that was done before.

        Raises:
            WrongUse: there is no such key.
        """
        with self._change() as records:
            key = _known(records, key_id)
            records.keys[key.id] = replace(key, revoked=True)
            return not key.revoked

    def limit(self, tenant: Tenant) -> None:
        """Sets all limits of one tenant.

        Raises:
            WrongUse: the tenant has no name that can be one, or there is a burst without a rate.
        """
        _check_tenant(tenant.name)
        with self._change() as records:
            records.tenants[tenant.name] = _checked(tenant)

    @contextmanager
    def _change(self) -> Iterator[_Records]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock", timeout=_LOCK_TIMEOUT_S):
            records = self._read()
            yield records
            write_atomic(self._file, "".join(f"{line}\n" for line in _lines(records)))

    def _read(self) -> _Records:
        records = _Records({}, {})
        if not self._file.exists():
            return records
        for number, line in enumerate(self._file.read_text("utf-8").splitlines(), 1):
            try:
                _take(records, line.split("\t"))
            except (ValueError, KeyError) as error:
                raise WrongUse(
                    f"line {number} of {self._file} is none that `maas keys` writes", "restore the file from a backup"
                ) from error
        return records


def _take(records: _Records, columns: list[str]) -> None:
    if columns[0] == "tenant":
        _, name, rate, burst, concurrency = columns
        records.tenants[name] = Tenant(
            name,
            float(rate) if rate else None,
            int(burst) if burst else None,
            int(concurrency) if concurrency else None,
        )
        return
    kind, key_id, digest, tenant, models, expires_s, created_s = columns
    revoked = {"key": False, "revoked": True}[kind]
    names = tuple(models.split(","))
    expires = int(expires_s) if expires_s else None
    records.keys[key_id] = Key(key_id, digest, tenant, names, expires, int(created_s), revoked)


def _lines(records: _Records) -> Iterator[str]:
    for tenant in records.tenants.values():
        yield _line("tenant", tenant.name, tenant.rate, tenant.burst, tenant.concurrency)
    for key in records.keys.values():
        kind = "revoked" if key.revoked else "key"
        yield _line(kind, key.id, key.digest, key.tenant, ",".join(key.models), key.expires_s, key.created_s)


def _line(*columns: object) -> str:
    return "\t".join("" if column is None else str(column) for column in columns)


def _add_key(records: _Records, tenant: str, models: tuple[str, ...], lifetime_s: int | None) -> tuple[Key, str]:
    secret = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    now_s = int(time.time())
    key = Key(digest[:_ID_DIGITS], digest, tenant, models, None if lifetime_s is None else now_s + lifetime_s, now_s)
    records.keys[key.id] = key
    return key, secret


def _known(records: _Records, key_id: str) -> Key:
    if key_id not in records.keys:
        raise WrongUse(f"there is no key {key_id[:80]!r}", "`maas keys list` shows the ids")
    return records.keys[key_id]


def _valid(records: _Records, key_id: str) -> Key:
    key = _known(records, key_id)
    if key.state != "valid":
        raise WrongUse(f"the key {key_id} is {key.state}", "create a new one: maas keys create")
    return key


def _checked(tenant: Tenant) -> Tenant:
    if tenant.burst is not None and tenant.rate is None:
        raise WrongUse(f"{tenant.name} would have a burst without a rate", "give --rate too")
    return tenant


def _check_tenant(name: str) -> None:
    if _TENANT.fullmatch(name) is None:
        raise WrongUse(
            f"{name[:80]!r} cannot be a tenant's name",
            "use 1 to 64 letters, digits, '_', '.' or '-', a letter or digit first",
        )
