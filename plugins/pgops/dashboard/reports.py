"""Reports of other workflows, as they lie in the bucket: shown, never trusted."""

from __future__ import annotations

import base64
import hashlib
import re

_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)


def policy(page: str) -> str:
    """A Content-Security-Policy under which a report is text with its own style sheets and nothing else.

    Its style sheets are allowed by their hashes; scripts, images, forms and everything of this origin are not.
    """
    digests = (hashlib.sha256(text.encode()).digest() for text in _STYLE.findall(page))
    sheets = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    return (
        f"sandbox; default-src 'none'; style-src {sheets}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
