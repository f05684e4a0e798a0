#!/bin/sh
# c2pa-python 0.38.1 (c2pa-rs 0.91.3): the setting trust.allowed_list, certificates of signers that are trusted
# by themselves, has no effect and raises nothing. In 0.37.10 it held.
#
# c2pa-rs, docs/settings.md: "allowed_list: list of explicitly allowed certificates (PEM format)".
#
# Seen, for a file whose signing certificate stands in that list and whose authority is on no list:
#   0.37.10 Trusted; 0.38.1 Valid, signingCredential.untrusted.
# Exits 0 as long as this is so, 1 when it changes, 2 when it cannot be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
pip="$folder/venv/bin/pip install -q --disable-pip-version-check"
$pip cryptography==46.0.3 pillow==12.0.0 toml requests || exit 2
for version in 0.37.10 0.38.1; do
  $pip --no-deps --target "$folder/$version" "c2pa-python==$version" || exit 2
done
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
TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MANIFEST = {"claim_generator_info": [{"name": "example", "version": "1"}], "assertions": [
    {"label": "c2pa.actions.v2", "created": True,
     "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TYPE}]}}]}
given = leaf.public_bytes(ser.Encoding.PEM).decode()
settings = c2pa.Context.from_json(json.dumps({
    "version": 1, "verify": {"verify_trust": True, "remote_manifest_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
    "trust": {"allowed_list": given, "trust_config": "1.3.6.1.5.5.7.3.4"}}))
plain, signed = io.BytesIO(), io.BytesIO()
Image.new("RGB", (64, 48), (90, 120, 60)).save(plain, "jpeg")
plain.seek(0)
with c2pa.Builder(MANIFEST) as builder:
    builder.sign(signer, "image/jpeg", plain, signed)
signed.seek(0)
with c2pa.Reader("image/jpeg", signed, context=settings) as reader:
    store = json.loads(reader.json())
print(sys.argv[1], "library", c2pa.sdk_version(), store["validation_state"],
      *(each["code"] for each in store.get("validation_status", [])))
sys.exit(store["validation_state"] != sys.argv[2])
PY
PYTHONPATH="$folder/0.37.10" "$folder/venv/bin/python" "$folder/try.py" 0.37.10 Trusted
PYTHONPATH="$folder/0.38.1" "$folder/venv/bin/python" "$folder/try.py" 0.38.1 Valid
