"""Who asks: verified tokens of the configured issuers (T5), and the private keys that our own processes hold."""

from goldcrest.identity.identity import Identity, RefusalCode
from goldcrest.identity.rules import IssuerRule
from goldcrest.identity.rules_file import load_rules
from goldcrest.identity.verifier import TokenVerifier

__all__ = ["Identity", "IssuerRule", "RefusalCode", "TokenVerifier", "load_rules"]
