"""Signatures: published vectors, edge cases, and the same verdict from Python and from libcrypto."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from component.ssh_filter.certificates import mpint, public_blob, sign, string

pytestmark = pytest.mark.unit

# RFC 8032 section 7.1: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493
# Encodings of the eight points of small order, and forms of them that are not canonical.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]
NOT_CANONICAL = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def ed25519_blob(public: bytes) -> bytes:
    return string(b"ssh-ed25519") + string(public)


@pytest.fixture(params=["python", "libcrypto"])
def trust(f: Any, request: pytest.FixtureRequest) -> Any:
    """Makes a trusted key of a blob, verifying one way or the other."""
    libcrypto = f.Libcrypto() if request.param == "libcrypto" else None
    return lambda blob: f.TrustedKey(blob, libcrypto)


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_vectors(trust: Any, public: str, message: str, signature: str) -> None:
    """The vectors of RFC 8032 are accepted; with one bit changed they are not."""
    key = trust(ed25519_blob(bytes.fromhex(public)))
    assert key.verify(b"ssh-ed25519", bytes.fromhex(signature), bytes.fromhex(message))
    for changed in (0, 31, 32, 63):
        wrong = bytearray(bytes.fromhex(signature))
        wrong[changed] ^= 1
        assert not key.verify(b"ssh-ed25519", bytes(wrong), bytes.fromhex(message))
    assert not key.verify(b"ssh-ed25519", bytes.fromhex(signature), bytes.fromhex(message) + b"x")


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_s_must_be_below_the_order(trust: Any, public: str, message: str, signature: str) -> None:
    """s + L verifies in a careless implementation: then one command would have a second valid signature."""
    data = bytes.fromhex(signature)
    s = int.from_bytes(data[32:], "little")
    key = trust(ed25519_blob(bytes.fromhex(public)))
    for other in (s + ORDER, 2**256 - 1, ORDER):
        assert not key.verify(b"ssh-ed25519", data[:32] + other.to_bytes(32, "little"), bytes.fromhex(message))


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_ed25519_signature_has_64_bytes(trust: Any, length: int) -> None:
    """Any other length is no signature, and no exception."""
    assert not trust(ed25519_blob(bytes.fromhex(RFC_8032[0][0]))).verify(b"ssh-ed25519", bytes(length), b"")


@pytest.mark.parametrize("encoded", SMALL_ORDER + NOT_CANONICAL)
def test_ed25519_keys_of_small_order_or_odd_form_are_not_trusted(f: Any, trust: Any, encoded: str) -> None:
    """Under a key of small order anybody can sign: it is refused as a CA, by whatever verifies later."""
    with pytest.raises(f.Misconfigured):
        trust(ed25519_blob(bytes.fromhex(encoded)))


@pytest.mark.parametrize("encoded", SMALL_ORDER + NOT_CANONICAL)
def test_ed25519_r_of_small_order_or_odd_form(trust: Any, encoded: str) -> None:
    """R is compared byte by byte with what must come out; no other form of R passes."""
    key = trust(ed25519_blob(bytes.fromhex(RFC_8032[0][0])))
    for s in (0, 1, ORDER - 1):
        assert not key.verify(b"ssh-ed25519", bytes.fromhex(encoded) + s.to_bytes(32, "little"), b"message")


def test_ed25519_signature_by_a_key_with_a_small_order_part(f: Any) -> None:
    """With a key of mixed order the cofactor matters: both ways use the equation without it and agree."""
    private = ed25519.Ed25519PrivateKey.generate()
    public = f.ed25519_decode(private.public_key().public_bytes_raw())
    torsion = f.ed25519_decode(bytes.fromhex(SMALL_ORDER[4]))
    x, y, z, _ = f.ed25519_add(public, f.ed25519_prepare(torsion))
    inverse = pow(z, -1, f._P)
    mixed = ((y * inverse % f._P) | (x * inverse % f._P & 1) << 255).to_bytes(32, "little")
    in_python, by_libcrypto = f.TrustedKey(ed25519_blob(mixed)), f.TrustedKey(ed25519_blob(mixed), f.Libcrypto())
    verdicts = set()
    for number in range(400):  # in 32 there is none that is valid, once in seventy runs
        if number >= 8 and len(verdicts) == 2:
            break
        # A signature by the scalar of the key without its small part: valid without cofactor for one in eight messages.
        message = b"%d" % number
        nonce = 1000 + number
        r_point = f.ed25519_add_multiple(
            f._IDENTITY, f.ed25519_table(f.ed25519_decode(f._BASE_Y.to_bytes(32, "little"))), nonce
        )
        r_inverse = pow(r_point[2], -1, f._P)
        r_x, r_y = r_point[0] * r_inverse % f._P, r_point[1] * r_inverse % f._P
        encoded_r = (r_y | (r_x & 1) << 255).to_bytes(32, "little")
        seed = hashlib.sha512(private.private_bytes_raw()).digest()[:32]
        scalar = int.from_bytes(bytes([seed[0] & 248]) + seed[1:31] + bytes([seed[31] & 63 | 64]), "little")
        h = int.from_bytes(hashlib.sha512(encoded_r + mixed + message).digest(), "little") % ORDER
        signature = encoded_r + ((nonce + h * scalar) % ORDER).to_bytes(32, "little")
        verdict = in_python.verify(b"ssh-ed25519", signature, message)
        assert verdict == by_libcrypto.verify(b"ssh-ed25519", signature, message) == (h % 8 == 0)
        verdicts.add(verdict)
    assert verdicts == {True, False}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 63), st.integers(0, 255))
def test_ed25519_both_ways_agree(f: Any, message: bytes, position: int, change: int) -> None:
    """For signatures of another implementation, right and altered, Python and libcrypto say the same."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(message).digest())
    blob = public_blob(private)
    signature = bytearray(private.sign(message))
    signature[position] ^= change
    in_python = f.TrustedKey(blob).verify(b"ssh-ed25519", bytes(signature), message)
    assert in_python == f.TrustedKey(blob, f.Libcrypto()).verify(b"ssh-ed25519", bytes(signature), message)
    assert in_python == (change == 0)


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def ecdsa_parts(private: ec.EllipticCurvePrivateKey, message: bytes) -> tuple[int, int]:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    return decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))


def test_ecdsa_signatures_of_another_implementation(trust: Any) -> None:
    """Twenty keys and messages of `cryptography` are accepted, and refused with another message."""
    for number in range(20):
        private = ec.generate_private_key(ec.SECP256R1())
        r, s = ecdsa_parts(private, b"%d" % number)
        key = trust(public_blob(private))
        assert key.verify(b"ecdsa-sha2-nistp256", mpint(r) + mpint(s), b"%d" % number)
        assert not key.verify(b"ecdsa-sha2-nistp256", mpint(r) + mpint(s), b"other")


def test_ecdsa_numbers_out_of_range(trust: Any) -> None:
    """0, the order, and r or s plus the order are refused: all of them trip careless implementations."""
    private = ec.generate_private_key(ec.SECP256R1())
    r, s = ecdsa_parts(private, b"m")
    key = trust(public_blob(private))
    for wrong_r, wrong_s in (
        (0, s),
        (r, 0),
        (P256_ORDER, s),
        (r, P256_ORDER),
        (r + P256_ORDER, s),
        (r, s + P256_ORDER),
        (0, 0),
    ):
        assert not key.verify(b"ecdsa-sha2-nistp256", mpint(wrong_r) + mpint(wrong_s), b"m")
    for broken in (b"", mpint(r), mpint(r) + mpint(s) + b"\0", string(b"\0\0" + r.to_bytes(32, "big")) + mpint(s)):
        assert not key.verify(b"ecdsa-sha2-nistp256", broken, b"m")


def test_p256_addition_has_no_special_cases(f: Any) -> None:
    """Doubling, the neutral element and opposite points come out right by the one formula."""

    def affine(point: tuple[int, int, int]) -> tuple[int, int] | None:
        x, y, z = point
        return None if z % f._P256 == 0 else (x * pow(z, -1, f._P256) % f._P256, y * pow(z, -1, f._P256) % f._P256)

    def expected(scalar: int) -> tuple[int, int]:
        numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        return numbers.x, numbers.y

    g = f._G256
    assert affine(f.p256_add(g, g)) == expected(2)
    assert affine(f.p256_add(f.p256_add(g, g), g)) == expected(3)
    assert affine(f.p256_add(g, f._ZERO256)) == affine(g)
    assert affine(f.p256_add(f._ZERO256, f._ZERO256)) is None
    assert affine(f.p256_add(g, (g[0], -g[1], 1))) is None


@pytest.mark.parametrize("size", [2048, 3072])
@pytest.mark.parametrize("bits", [256, 512])
def test_rsa_signatures_of_another_implementation(trust: Any, size: int, bits: int) -> None:
    """rsa-sha2-256 and -512 are accepted, with another message or under the other name not."""
    private = rsa.generate_private_key(65537, size)
    digest: hashes.HashAlgorithm = hashes.SHA256() if bits == 256 else hashes.SHA512()
    signature = private.sign(b"m", padding.PKCS1v15(), digest)
    key = trust(public_blob(private))
    assert key.verify(b"rsa-sha2-%d" % bits, signature, b"m")
    assert not key.verify(b"rsa-sha2-%d" % bits, signature, b"n")
    assert not key.verify(b"rsa-sha2-%d" % (768 - bits), signature, b"m")
    assert not key.verify(b"rsa-sha2-%d" % bits, b"\0" + signature, b"m")
    assert not key.verify(b"rsa-sha2-%d" % bits, signature[1:], b"m")
    assert not key.verify(b"rsa-sha2-%d" % bits, b"\xff" * len(signature), b"m")


def test_rsa_padding_is_compared_whole(f: Any) -> None:
    """A block with short padding and garbage behind the digest (Bleichenbacher 2006) is refused."""
    private = rsa.generate_private_key(65537, 2048)
    numbers = private.private_numbers()
    n, size = numbers.public_numbers.n, 256
    digest = b"\0" + f.RsaKey.digest_info["sha256"] + hashlib.sha256(b"m").digest()
    good = b"\0\1" + b"\xff" * (size - 2 - len(digest)) + digest
    bad = b"\0\1" + b"\xff" * 8 + digest
    bad += bytes(size - len(bad))
    for libcrypto in (None, f.Libcrypto()):
        key = f.TrustedKey(public_blob(private), libcrypto)
        for block, verdict in ((good, True), (bad, False)):
            signature = pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes(size, "big")
            assert key.verify(b"rsa-sha2-256", signature, b"m") is verdict


def test_sha1_signatures_are_not_accepted(trust: Any) -> None:
    """`ssh-rsa` means SHA-1, for which collisions can be made."""
    private = rsa.generate_private_key(65537, 2048)
    signature = private.sign(b"m", padding.PKCS1v15(), hashes.SHA1())
    assert not trust(public_blob(private)).verify(b"ssh-rsa", signature, b"m")


def test_short_rsa_keys_are_not_trusted(f: Any) -> None:
    """1024 bits can be factored."""
    with pytest.raises(f.Misconfigured):
        f.TrustedKey(public_blob(rsa.generate_private_key(65537, 1024)))


def test_formats_do_not_mix(trust: Any) -> None:
    """A signature counts only under the format of its key's type."""
    private = ed25519.Ed25519PrivateKey.generate()
    for name in (b"rsa-sha2-512", b"ecdsa-sha2-nistp256", b"sk-ssh-ed25519@openssh.com", b""):
        assert not trust(public_blob(private)).verify(name, private.sign(b"m"), b"m")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        string(b"ssh-ed25519"),
        string(b"ssh-ed25519") + string(bytes(31)),
        string(b"ssh-ed25519") + string(bytes(32)) + b"x",
        string(b"ssh-dss") + string(b"x"),
        string(b"ecdsa-sha2-nistp384") + string(b"nistp384") + string(bytes(97)),
        string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\4" + bytes(64)),
        string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\2" + bytes(32)),
    ],
)
def test_broken_keys_are_not_trusted(f: Any, blob: bytes) -> None:
    """A CA file with such a key stops the filter with a message, and not with another exception."""
    with pytest.raises(f.Misconfigured):
        f.TrustedKey(blob)


def test_python_decides_where_libcrypto_cannot(f: Any) -> None:
    """Some FIPS providers refuse Ed25519: then the verdict comes from Python, not a refusal."""
    private = ed25519.Ed25519PrivateKey.generate()
    libcrypto = f.Libcrypto()
    libcrypto.verify = lambda *_: None
    assert f.TrustedKey(public_blob(private), libcrypto).verify(b"ssh-ed25519", private.sign(b"m"), b"m")
    libcrypto.load = lambda _: None
    assert f.TrustedKey(public_blob(private), libcrypto).verify(b"ssh-ed25519", private.sign(b"m"), b"m")


def test_builder_and_filter_agree_on_every_kind_of_ca(f: Any) -> None:
    """Whole certificates, signed by each kind of CA, verify both ways."""
    for private in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        reader = f.Reader(sign(private, b"data"))
        name, signature = reader.string(), reader.string()
        for libcrypto in (None, f.Libcrypto()):
            assert f.TrustedKey(public_blob(private), libcrypto).verify(name, signature, b"data")
