#!/bin/sh
# c2pa-python 0.38.1 (c2pa-rs 0.91.3): an update manifest that it writes into WebP or TIFF does not hold in its
# own eyes, although signing (with its check after signing) reports success; in JPEG and PNG it does.
#
# C2PA 2.2, 11.2.4 ("update manifests"): they have no hash of their own, so what the manifest before them covers
# must still fit. In WebP and TIFF the longer store changes lengths that lie outside of what the first manifest
# left out of its hash.
#
# Seen: jpeg Valid, png Valid, webp Invalid (assertion.dataHash.mismatch), tiff Invalid (the same).
# Exits 0 as long as this is so, 1 when it changes, 2 when it cannot be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install -q --disable-pip-version-check c2pa-python==0.38.1 cryptography==46.0.3 pillow==12.0.0 || exit 2
cat > "$folder/try.py" <<'PY'
import datetime, io, json, sys
import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

now = datetime.datetime.now(datetime.timezone.utc)
def name(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                      x509.NameAttribute(NameOID.COMMON_NAME, text)])
def usage(**on):
    every = ("digital_signature content_commitment key_encipherment data_encipherment key_agreement "
             "key_cert_sign crl_sign encipher_only decipher_only").split()
    return x509.KeyUsage(**{each: on.get(each, False) for each in every})
def certificate(subject, issuer, key, signer, ca):
    made = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
    if ca:
        made = made.add_extension(usage(key_cert_sign=True, crl_sign=True), True)
    else:
        made = (made.add_extension(usage(digital_signature=True), True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False))
    return made.sign(signer, hashes.SHA256())
root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
root = certificate("Root", "Root", root_key, root_key, True)
leaf = certificate("Signer", "Root", key, root_key, False)
chain = b"".join(each.public_bytes(ser.Encoding.PEM) for each in (leaf, root))
pem = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, pem, None))
settings = c2pa.Context.from_json(json.dumps({"version": 1, "verify": {"verify_after_sign": True},
                                              "builder": {"thumbnail": {"enabled": False}}}))
TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FIRST = {"claim_generator_info": [{"name": "example", "version": "1"}], "assertions": [
    {"label": "c2pa.actions.v2", "created": True,
     "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TYPE}]}}]}
UPDATE = {"claim_generator_info": [{"name": "example", "version": "1"}], "assertions": []}
found = {}
for kind in ("jpeg", "png", "webp", "tiff"):
    plain, once, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 60)).save(plain, kind)
    plain.seek(0)
    with c2pa.Builder(FIRST, context=settings) as builder:
        builder.sign(signer, f"image/{kind}", plain, once)
    once.seek(0)
    with c2pa.Builder(UPDATE, context=settings) as builder:
        builder.set_intent(c2pa.C2paBuilderIntent.UPDATE)
        builder.sign(signer, f"image/{kind}", once, twice)  # raises nothing
    twice.seek(0)
    with c2pa.Reader(f"image/{kind}", twice, context=settings) as reader:
        store = json.loads(reader.json())
    failed = [each["code"] for each in store.get("validation_status", []) if "untrusted" not in each["code"].lower()]
    found[kind] = store["validation_state"]
    print(kind, store["validation_state"], *failed)
print("c2pa-python", c2pa.__version__ if hasattr(c2pa, "__version__") else "0.38.1", "library", c2pa.sdk_version())
sys.exit(found != {"jpeg": "Valid", "png": "Valid", "webp": "Invalid", "tiff": "Invalid"})
PY
"$folder/venv/bin/python" "$folder/try.py"
