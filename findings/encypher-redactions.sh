#!/bin/sh
# encypher-c2pa 1.7.1 calls a picture invalid from which c2pa-python 0.38.1 (c2pa-rs 0.91.3) took an assertion out:
# assertion.action.redactionMismatch, "does not resolve", although the claim's list of redacted assertions holds
# exactly the address that the action c2pa.redacted names. The library calls the same file Valid.
#
# C2PA 2.2, 18.14 (c2pa.redacted): "the redacted parameter shall contain a JUMBF URI to the redacted assertion";
# 6.8: the claim lists the same URI in redacted_assertions.
#
# Seen: library Valid; encypher Invalid, assertion.action.redactionMismatch.
# Exits 0 as long as this is so, 1 when it changes, 2 when it cannot be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install -q --disable-pip-version-check c2pa-python==0.38.1 encypher-c2pa==1.7.1 \
  cryptography==46.0.3 pillow==12.0.0 || exit 2
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
import encypher_c2pa
settings = c2pa.Context.from_json(json.dumps({"version": 1, "verify": {"remote_manifest_fetch": False},
                                              "builder": {"thumbnail": {"enabled": False}}}))
TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FIRST = {"label": "urn:c2pa:6ba7b810-9dad-41d1-80b4-00c04fd430c8",
         "claim_generator_info": [{"name": "example", "version": "1"}], "assertions": [
    {"label": "c2pa.actions.v2", "created": True,
     "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TYPE}]}},
    {"label": "org.example.note", "created": True, "data": {"note": "to be taken out"}}]}
plain, once, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
Image.new("RGB", (64, 48), (90, 120, 60)).save(plain, "jpeg")
plain.seek(0)
with c2pa.Builder(FIRST, context=settings) as builder:
    builder.sign(signer, "image/jpeg", plain, once)
address = f"self#jumbf=/c2pa/{FIRST['label']}/c2pa.assertions/org.example.note"
SECOND = {"claim_generator_info": [{"name": "example", "version": "1"}], "redactions": [address], "assertions": [
    {"label": "c2pa.actions.v2", "created": True, "data": {"actions": [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}},
        {"action": "c2pa.redacted", "reason": "c2pa.PII.present", "parameters": {"redacted": address}}]}}]}
once.seek(0)
with c2pa.Builder(SECOND, context=settings) as builder:
    builder.add_ingredient({"title": "a", "relationship": "parentOf", "label": "parent"}, "image/jpeg", once)
    once.seek(0)
    builder.sign(signer, "image/jpeg", once, twice)
twice.seek(0)
with c2pa.Reader("image/jpeg", twice, context=settings) as reader:
    state = json.loads(reader.json())["validation_state"]
    claim = json.dumps(json.loads(reader.crjson()))
print("c2pa-python 0.38.1, library", c2pa.sdk_version(), state, "address in the claim:", address in claim)
peer = encypher_c2pa.verify(twice.getvalue(), "image/jpeg", telemetry=False, online=False)
codes = sorted({each["code"] for each in peer["validation_results"]["failure"]} - {"signingCredential.untrusted"})
print("encypher-c2pa 1.7.1", peer["validation_state"], *codes)
sys.exit(not (state == "Valid" and peer["validation_state"] == "Invalid" and codes == ["assertion.action.redactionMismatch"]))
PY
"$folder/venv/bin/python" "$folder/try.py"
