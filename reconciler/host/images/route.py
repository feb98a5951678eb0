"""How a URL is reached: directly, or through the proxy that the environment names for it.

`http_proxy`, `https_proxy` and `no_proxy` count as everywhere; loopback addresses are never asked of a proxy (as in
Go's programs). What a registry may see, a proxy sees only of plain HTTP. Called by `transport`.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


def is_loopback(host: str) -> bool:
    """As Docker decides which registries may speak plain HTTP without being named."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_for(parts: SplitResult) -> str:
    """The proxy's URL, "" for none."""
    if is_loopback(parts.netloc) or proxy_bypass(parts.netloc):
        return ""
    found = getproxies().get(parts.scheme, "")
    return found if "://" in found or not found else f"http://{found}"


def connect(
    parts: SplitResult, context: ssl.SSLContext, timeout: float
) -> tuple[http.client.HTTPConnection, str, Mapping[str, str]]:
    """A connection, not yet made; what to ask there; and the headers that only a proxy sees."""
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    host, port = str(parts.hostname), parts.port
    proxy = urlsplit(proxy_for(parts))
    if not proxy.hostname:
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout), path, {}
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context), path, {}
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=timeout)
        return plain, f"http://{parts.netloc}{path}", _login(proxy)
    tunnel = http.client.HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=timeout, context=context)
    tunnel.set_tunnel(host, port or 443, headers=dict(_login(proxy)))
    return tunnel, path, {}


def _login(proxy: SplitResult) -> Mapping[str, str]:
    if not proxy.username:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
