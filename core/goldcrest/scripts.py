"""Scripts that a gjob does not hold itself: keys of ConfigMaps, read when they are needed, compared with the stamped digest."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Protocol

from goldcrest.canonical import sha256_hex
from goldcrest.errors import Denied, GoldcrestError, InvalidInput, NotFound
from goldcrest.kube import config_map_path
from goldcrest.models.job import ConfigMapKey, JobSpec

SCRIPT_READER = "goldcrest-script-reader"  # the ClusterRole that lets our processes read ConfigMaps


class ScriptChanged(GoldcrestError):
    """The ConfigMap holds other bytes than when the gjob was made."""

    code = "ScriptChanged"


class Reads(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def request(self, method: str, path: str) -> dict[str, Any]: ...


async def script_of_config_map(kube: Reads, key: ConfigMapKey, *, namespace: str) -> bytes:
    """The bytes of one key.

    Raises:
        NotFound: there is no such ConfigMap, or no such key in it.
        Denied: we may not read ConfigMaps in that namespace.
        InvalidInput: the key is in binaryData and is no base64.
        KubernetesUnavailable: it could not be read.
    """
    where = f"ConfigMap {key.name} in namespace {namespace}"
    try:
        raw = await kube.request("GET", config_map_path(namespace, key.name))
    except NotFound as error:
        raise NotFound(f"spec.script.configMap: there is no {where}") from error
    except Denied as error:
        raise Denied(
            f"spec.script.configMap: Goldcrest may not read the {where}: an administrator must bind the ClusterRole {SCRIPT_READER} "
            "to its service accounts there"
        ) from error
    text = (raw.get("data") or {}).get(key.key)
    if isinstance(text, str):
        return text.encode()
    packed = (raw.get("binaryData") or {}).get(key.key)
    if isinstance(packed, str):
        try:
            return base64.b64decode(packed, validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"spec.script.configMap: key {key.key} of the {where} is not base64") from error
    raise NotFound(f"spec.script.configMap: the {where} has no key {key.key}")


def check_stamped(spec: JobSpec, content: bytes) -> bytes:
    """``content``, if it is what the gjob was made with.

    Raises:
        ScriptChanged: saying what to do.
    """
    digest = sha256_hex(content)
    if digest != spec.script_sha256:
        assert spec.script.config_map is not None  # noqa: S101 - only those are stamped
        key = spec.script.config_map
        raise ScriptChanged(
            f"key {key.key} of ConfigMap {key.name} has other bytes (SHA-256 {digest[:12]}…) than when this gjob was made "
            f"({(spec.script_sha256 or 'never stamped')[:12]}…): make a new gjob"
        )
    return content
