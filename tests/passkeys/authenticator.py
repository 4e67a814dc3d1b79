"""A passkey in software: what a browser and a device would answer, with every part to be got wrong."""

import hashlib
import html
import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256

PRESENT, VERIFIED, CAN_SYNC, SYNCED, HAS_KEY = 1, 4, 8, 16, 64


def text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def data_of(encoded: str) -> bytes:
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def options_of(page: str) -> dict[str, Any]:
    """What the page of a person's passkeys asks of a new one."""
    found = re.search(r'data-options="([^"]+)"', page)
    assert found, page
    return dict(json.loads(html.unescape(found[1])))


class Authenticator:
    """One passkey, for the site at `origin`, which it knows by `rp_id`."""

    def __init__(self, origin: str = "https://blog.example", rp_id: str = "blog.example") -> None:
        self.origin, self.rp_id = origin, rp_id
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(32)
        self.handle = ""
        self.counter = 0
        self.flags = PRESENT | VERIFIED

    def make(self, options: dict[str, Any], **changed: Any) -> str:
        """Answers the options of a new passkey."""
        self.handle = options["user"]["id"]
        key = cbor.encode(ES256.from_cryptography_key(self.key.public_key()))  # type: ignore[no-untyped-call]
        attested = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + key
        data = self._data(HAS_KEY, changed) + attested
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._client_data("webauthn.create", options["challenge"], changed)
        response = {"clientDataJSON": text(client_data), "attestationObject": text(attestation)}
        return self._sent(response)

    def use(self, options: dict[str, Any], **changed: Any) -> str:
        """Answers the options for using one."""
        data = self._data(0, changed)
        client_data = self._client_data("webauthn.get", options["challenge"], changed)
        signature = changed.get("key", self.key).sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": text(client_data),
            "authenticatorData": text(data),
            "signature": text(changed.get("signature", signature)),
            "userHandle": changed.get("handle", self.handle),
        }
        return self._sent(response)

    def _data(self, flags: int, changed: dict[str, Any]) -> bytes:
        rp_id = hashlib.sha256(changed.get("rp_id", self.rp_id).encode()).digest()
        flags |= changed.get("flags", self.flags)
        return rp_id + bytes([flags]) + int(changed.get("counter", self.counter)).to_bytes(4)

    def _client_data(self, kind: str, challenge: str, changed: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | {name: changed[name] for name in said if name in changed}).encode()

    def _sent(self, response: dict[str, str]) -> str:
        credential_id = text(self.credential_id)
        sent = {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}
        return json.dumps(sent | {"clientExtensionResults": {}})
