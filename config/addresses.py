"""What the longer addresses of the environment say: where files are kept, and where another tracking server is."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from django.core.exceptions import ImproperlyConfigured

from config.environment import address_parts, env


def storage(url: str, *, folder: Path) -> dict[str, Any]:
    """STORAGE_URL: file:///folder, or s3://key:secret@host:port/bucket?region=…&tls=false for S3 and its like. Without
    it, the folder."""
    if not url:
        return {"BACKEND": "core.blobs.local.LocalBlobs", "OPTIONS": {"location": str(folder)}}
    parts = address_parts("STORAGE_URL", url, like="file:///folder or s3://key:secret@host:port/bucket")
    if parts.scheme == "file" and parts.path:
        return {"BACKEND": "core.blobs.local.LocalBlobs", "OPTIONS": {"location": parts.path}}
    if parts.scheme != "s3" or not parts.path.strip("/"):
        raise ImproperlyConfigured("STORAGE_URL must be file:///folder or s3://key:secret@host:port/bucket.")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    options: dict[str, Any] = {
        "bucket_name": parts.path.strip("/").split("/")[0],
        "location": "/".join(parts.path.strip("/").split("/")[1:]),
        "file_overwrite": True,
        "max_memory_size": 8 * 1024 * 1024,
        "region_name": query.get("region", "us-east-1"),
    }
    if parts.username:
        options |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password or "")}
    if parts.hostname:
        scheme = "http" if query.get("tls", "true").lower() in ("false", "0", "no") else "https"
        options["endpoint_url"] = f"{scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        options["addressing_style"] = "path"
    direct = query.get("direct", "").rstrip("/")
    if direct.startswith(("http://", "https://")):
        options["direct_address"] = direct
    elif direct == "true":
        options["direct_address"] = ""  # clients reach it where this server does
    elif direct:
        raise ImproperlyConfigured(
            "STORAGE_URL has a wrong direct=: write true, or the https address under which clients reach the store."
        )
    return {"BACKEND": "core.blobs.s3.S3Blobs", "OPTIONS": options}


def external_tracking(*, base_url: str) -> tuple[str, str]:
    """EXTERNAL_TRACKING_URI without its user and password, and the Authorization header that goes with it."""
    value, token = env.str("EXTERNAL_TRACKING_URI", default=""), env.str("EXTERNAL_TRACKING_TOKEN", default="")
    if not value:
        if token:
            raise ImproperlyConfigured("EXTERNAL_TRACKING_TOKEN is set without EXTERNAL_TRACKING_URI.")
        return "", ""
    like = "https://host/prefix or https://user:password@host"
    parts = address_parts("EXTERNAL_TRACKING_URI", value, like=like)
    plain = re.fullmatch(r"[\x21-\x7e]+", value) and "\\" not in value and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ImproperlyConfigured(f"EXTERNAL_TRACKING_URI must be the address of a tracking server: write {like}.")
    if token and parts.username:
        raise ImproperlyConfigured("Give EXTERNAL_TRACKING_TOKEN, or a user in EXTERNAL_TRACKING_URI, not both.")
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ImproperlyConfigured("EXTERNAL_TRACKING_TOKEN holds a character that no token has.")
    uri = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    if uri == base_url:
        raise ImproperlyConfigured("EXTERNAL_TRACKING_URI is BASE_URL: name another server than this one.")
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    basic = f"Basic {base64.b64encode(pair.encode()).decode()}" if parts.username else ""
    return uri, f"Bearer {token}" if token else basic
