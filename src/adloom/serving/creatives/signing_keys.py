"""The key that signs creatives: configured, or made once on this machine."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import Certificate

from adloom.config.settings import Settings
from adloom.credentials import keys
from adloom.credentials.keys import SigningKey
from adloom.errors import ConfigError
from adloom.storage import files
from adloom.storage.locks import exclusive_lock

CERTIFICATE, KEY = "ADLOOM_CREDENTIALS_CERTIFICATE", "ADLOOM_CREDENTIALS_KEY"
FOLDER = "credentials"  # in ADLOOM_HOME
ANYONE = 0o007  # bits of a file's mode
LOCK_SECONDS = 30.0  # for another process that makes the key

logger = logging.getLogger(__name__)


def open_signing_key(settings: Settings) -> SigningKey:
    """Return the configured key, or that of this machine. Raises ConfigError."""
    certificate, key = settings.credentials_certificate, settings.credentials_key
    if certificate and key:
        return _read(certificate, key, f"{CERTIFICATE}={certificate}, {KEY}={key}")
    if certificate or key:
        given, missing = (CERTIFICATE, KEY) if certificate else (KEY, CERTIFICATE)
        raise ConfigError(f"{given} is set and {missing} is not; set both, or none to sign with a key of this machine")
    return _open_local(settings.home / FOLDER)


def has_signing_key(settings: Settings) -> bool:
    """Return whether a key is configured, or was made on this machine."""
    is_configured = settings.credentials_certificate or settings.credentials_key
    return bool(is_configured) or (settings.home / FOLDER / "key.pem").is_file()


def read_trusted(settings: Settings) -> list[Certificate]:
    """Return the further trusted authorities. Raises ConfigError."""
    if (path := settings.credentials_trust) is None:
        return []
    try:
        return keys.parse_certificates(files.read_secret(path)[0])
    except (OSError, ValueError) as error:
        raise ConfigError(f"ADLOOM_CREDENTIALS_TRUST={path}: {files.failure_reason(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"ADLOOM_CREDENTIALS_TRUST={path}: {error}") from None


def _read(certificate: Path, key: Path, where: str) -> SigningKey:
    """Read and check PEM files, and sign with them once."""
    try:
        certificates = files.read_secret(certificate)[0]
        secret, mode = files.read_secret(key)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: {files.failure_reason(error)}") from None
    if mode & ANYONE:
        raise ConfigError(f"{KEY}={key}: mode {mode:04o}, so anyone on this machine can sign; `chmod 600 {key}`")
    try:
        return keys.parse_signing_key(certificates, secret, datetime.now(UTC))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _open_local(folder: Path) -> SigningKey:
    """Read the key of this machine; make it if there is none."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    where = f"{folder}: delete the folder to make a new certificate"
    try:
        with exclusive_lock(folder / "lock", f"{folder}: another process makes a key; try again", LOCK_SECONDS):
            if not certificate.is_file():
                _write_local(certificate, key)
    except OSError as error:
        advice = f"set {CERTIFICATE} and {KEY}, or a writable ADLOOM_HOME"
        raise ConfigError(f"{folder}: no key can be made here: {files.failure_reason(error)}; {advice}") from None
    return _read(certificate, key, where)


def _write_local(certificate: Path, key: Path) -> None:
    local = keys.create_local_key(datetime.now(UTC))
    with files.create_private(key) as stream:
        stream.write(local.key_pem)
    certificate.write_bytes(keys.to_pem(local.chain))
    logger.warning(
        "%s: made a certificate that nobody else trusts; set %s and %s to sign with your own",
        *(certificate, CERTIFICATE, KEY),
    )
