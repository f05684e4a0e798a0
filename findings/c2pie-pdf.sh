#!/bin/sh
# c2pie 0.1.1 signs JPEG and PDF. Its JPEG holds everywhere; its PDF holds for c2pa-python 0.37.12 and not for
# 0.38.1 (c2pa-rs 0.91.3), which says that the hash leaves out more than the credential.
#
# c2pie leaves the whole incremental update out of the hash of a PDF (objects, names, xref and trailer), not
# only the stream that holds the manifest store. C2PA 2.2, 15.12.1 lets a data hash leave out the manifest
# store and padding; c2pa-rs asks for it since 0.91 (its pull request 2653), for every format.
#
# Seen: 0.37.12 jpg Valid, pdf Valid; 0.38.1 jpg Valid, pdf Invalid (assertion.dataHash.mismatch, "data hash
# exclusion does not match the manifest location in the asset"). So a credential that 0.37.12 takes is
# called invalid by 0.38.1, and nothing about the file has changed.
# Exits 0 as long as this is so, 1 when it changes, 2 when it cannot be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for each in sign 0.37.12 0.38.1; do python3 -m venv "$folder/$each" || exit 2; done
quiet="install -q --disable-pip-version-check"
"$folder/sign/bin/pip" $quiet c2pie==0.1.1 pypdf==6.21.4 cbor2==5.9.0 cryptography==50.0.2 pillow==13.0.0 || exit 2
"$folder/0.37.12/bin/pip" $quiet c2pa-python==0.37.12 || exit 2
"$folder/0.38.1/bin/pip" $quiet c2pa-python==0.38.1 || exit 2
cat > "$folder/sign.py" <<'PY'
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image
from c2pie.signing import sign_file

now = datetime.datetime.now(datetime.timezone.utc)

def issue(subject, issuer, key, signer, authority):
    who = lambda text: x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                                  x509.NameAttribute(NameOID.COMMON_NAME, text)])
    may = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                         "encipher_only", "decipher_only"), False)
    made = (x509.CertificateBuilder().subject_name(who(subject)).issuer_name(who(issuer))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority,
                                         crl_sign=authority, **may), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return made.sign(signer, hashes.SHA256()).public_bytes(ser.Encoding.PEM)

top, own = (rsa.generate_private_key(65537, 2048) for _ in range(2))
with open("chain.pem", "wb") as file:
    file.write(issue("Signer", "Root", own, top, False) + issue("Root", "Root", top, top, True))
with open("key.pem", "wb") as file:
    file.write(own.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))
for name in ("plain.jpg", "plain.pdf"):
    Image.new("RGB", (64, 48), (90, 120, 60)).save(name)
    sign_file(name, name.replace("plain", "signed"), "key.pem", "chain.pem")
PY
cat > "$folder/read.py" <<'PY'
import json, c2pa
for name, kind in (("signed.jpg", "image/jpeg"), ("signed.pdf", "application/pdf")):
    with open(name, "rb") as file, c2pa.Reader(kind, file) as reader:
        found = json.loads(reader.json())
    codes = [each["code"] for each in found.get("validation_status", []) if "untrusted" not in each["code"]]
    print(name[7:], found["validation_state"], *codes)
PY
cd "$folder"
sign/bin/python sign.py > /dev/null || exit 2
for each in 0.37.12 0.38.1; do "$each/bin/python" read.py | sed "s/^/$each /"; done > seen || exit 2
cat seen
cat > expected <<'EXPECTED'
0.37.12 jpg Valid
0.37.12 pdf Valid
0.38.1 jpg Valid
0.38.1 pdf Invalid assertion.dataHash.mismatch
EXPECTED
cmp -s seen expected || { echo "changed" >&2; exit 1; }
