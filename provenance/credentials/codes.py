"""Every validation code of C2PA, in a sentence for people.

Source: C2PA 2.x section "Validation", tables of success, informational and failure codes.

>>> sentence("assertion.dataHash.mismatch")
'The image was changed after it was signed: its bytes no longer match the signed hash.'
>>> sentence("some.new.code", "the library's own words")
"Validation reported some.new.code: the library's own words."
"""

from __future__ import annotations

UNTRUSTED = "signingCredential.untrusted"
TRUSTED = "signingCredential.trusted"
EXPIRED = "signingCredential.expired"
NOT_YET_VALID = "signingCredential.notYetValid"
REVOKED = "signingCredential.revoked"
SIGNER_UNSEEN = "countermark.signer.unseen"
TIMESTAMP_ONLY = "countermark.signer.timestampOnly"
SOURCE_TYPE_UNKNOWN = "countermark.digitalSourceType.unknown"
SOFT_BINDING_UNKNOWN = "countermark.softBinding.unknown"
UNREADABLE = "countermark.manifest.unreadable"
REMOTE = "manifest.inaccessible"
OUT_OF_BOUNDS = "countermark.manifest.bounds"
EXCLUSIONS = "assertion.dataHash.additionalExclusionsPresent"
COMPRESSED = "countermark.manifest.compressed"
INGREDIENT_UNVERIFIED = "countermark.chain.truncated"

SENTENCES = {
    # ours
    TIMESTAMP_ONLY: (
        "The signing certificate is for time-stamps only and must not sign images, whoever issued it."
    ),
    SIGNER_UNSEEN: "The signing certificate was not found in the file, so what it may sign is unknown.",
    SOURCE_TYPE_UNKNOWN: (
        "An action names a digital source type that neither IPTC nor C2PA knows; it is ignored."
    ),
    SOFT_BINDING_UNKNOWN: (
        "A soft binding names an algorithm that is not on C2PA's list; it cannot be checked."
    ),
    UNREADABLE: "There is a credential in the file, but it is damaged and cannot be read.",
    OUT_OF_BOUNDS: "The credential claims to hold more data than the file does, so it was not read.",
    COMPRESSED: "There is a compressed credential, which is not unpacked without the package brotli.",
    INGREDIENT_UNVERIFIED: "The history is longer than is walked; what lies beyond was not looked at.",
    REVOKED: "The signing certificate was revoked on this computer.",
    # claim and manifest
    REMOTE: "The credential is kept at an address on the network, and nothing was fetched.",
    "claim.missing": "The manifest has no claim, so there is nothing that was signed.",
    "claim.multiple": "The manifest has more than one claim.",
    "claim.malformed": "The claim breaks the rules of the format.",
    "claim.cbor.invalid": "The claim is not valid CBOR.",
    "claim.hardBindings.missing": "The claim does not say which bytes it covers.",
    "claim.required.missing": "The claim lacks a field that it must have.",
    "claimSignature.missing": "The claim is not signed.",
    "claimSignature.mismatch": "The signature does not fit the claim: the credential was altered or forged.",
    "claimSignature.outsideValidity": "The claim was signed outside the certificate's period of validity.",
    "claimSignature.insideValidity": "The claim was signed within the certificate's period of validity.",
    "claimSignature.validated": "The claim's signature is good.",
    "manifest.multipleParents": "The manifest names more than one parent.",
    "manifest.update.wrongParents": "An update manifest must have exactly one parent.",
    "manifest.update.invalid": "An update manifest holds what an update may not hold.",
    "manifest.compressed.invalid": "A compressed manifest cannot be unpacked.",
    "manifest.timestamp.invalid": "A time-stamp manifest breaks the rules of the format.",
    "manifest.timestamp.wrongParents": "A time-stamp manifest must have exactly one parent.",
    "manifest.unreferenced": "The file holds a manifest that its history does not mention.",
    # signing credential
    TRUSTED: "The signer is on the trust list.",
    UNTRUSTED: "The signer is not on the trust list, so anyone could have made this credential.",
    "signingCredential.invalid": "The signing certificate does not fit the C2PA certificate profile.",
    "signingCredential.notYetValid": (
        "The signing certificate is not yet valid by the clock of this computer, which may be wrong."
    ),
    "signingCredential.expired": (
        "The signing certificate had expired, and no time-stamp shows an earlier use."
    ),
    "signingCredential.ocsp.revoked": "The signing certificate was revoked by its authority.",
    "signingCredential.ocsp.unknown": "Whether the signing certificate was revoked is unknown.",
    "signingCredential.ocsp.inaccessible": "The authority's revocation service could not be reached.",
    "signingCredential.ocsp.skipped": "Revocation was not asked for, because that needs the network.",
    "signingCredential.ocsp.notRevoked": "The signing certificate is not revoked.",
    # time-stamps
    "timeStamp.validated": "The time-stamp fits the signature.",
    "timeStamp.trusted": "The time-stamp's authority is trusted.",
    "timeStamp.untrusted": "The time-stamp's authority is not on the trust list, so the time is not proven.",
    "timeStamp.mismatch": "The time-stamp belongs to another signature.",
    "timeStamp.malformed": "The time-stamp cannot be read.",
    "timeStamp.outsideValidity": "The time-stamp lies outside its authority's period of validity.",
    "timeStamp.credentialInvalid": "The time-stamp's certificate is not valid.",
    "timeOfSigning.insideValidity": "The time of signing lies within the certificate's period of validity.",
    "timeOfSigning.outsideValidity": "The time of signing lies outside the certificate's period of validity.",
    # hard bindings
    "assertion.dataHash.match": "The image is as it was signed.",
    "assertion.dataHash.mismatch": (
        "The image was changed after it was signed: its bytes no longer match the signed hash."
    ),
    "assertion.dataHash.malformed": "The signed hash of the image breaks the rules of the format.",
    "assertion.dataHash.additionalExclusionsPresent": "Parts of the file are left out of the signed hash.",
    "assertion.dataHash.redacted": "The signed hash was redacted, which is not allowed.",
    "assertion.bmffHash.match": "The image is as it was signed.",
    "assertion.bmffHash.mismatch": (
        "The image was changed after it was signed: its boxes no longer match the signed hash."
    ),
    "assertion.bmffHash.additionalExclusionsPresent": "Parts of the file are left out of the signed hash.",
    "assertion.bmffHash.malformed": "The signed hash of the image's boxes breaks the rules of the format.",
    "assertion.boxesHash.match": "The image is as it was signed.",
    "assertion.boxesHash.mismatch": (
        "The image was changed after it was signed: its boxes no longer match the signed hash."
    ),
    "assertion.boxesHash.additionalExclusionsPresent": "Parts of the file are left out of the signed hash.",
    "assertion.boxesHash.unknownBox": "The file holds a part that was not signed.",
    "assertion.boxesHash.malformed": "The signed hash of the image's boxes breaks the rules of the format.",
    "assertion.multiAssetHash.mismatch": "A part of the file was changed after it was signed.",
    "assertion.multiAssetHash.missingPart": "A part of the file that was signed is missing.",
    "assertion.multiAssetHash.malformed": (
        "The signed hash of the file's parts breaks the rules of the format."
    ),
    "assertion.collectionHash.mismatch": "A file of the signed collection was changed.",
    "assertion.collectionHash.match": "The signed collection is as it was signed.",
    "assertion.collectionHash.incorrectFileCount": (
        "The signed collection has more or fewer files than it says."
    ),
    "assertion.collectionHash.incorrectItemCount": (
        "The signed collection has more or fewer files than it says."
    ),
    "assertion.collectionHash.invalidURI": (
        "The signed collection names a file by an address that is not allowed."
    ),
    "assertion.collectionHash.malformed": "The signed hash of the collection breaks the rules of the format.",
    # assertions
    "assertion.hashedURI.match": "An assertion is as it was signed.",
    "assertion.hashedURI.mismatch": "An assertion of the credential was changed after it was signed.",
    "assertion.missing": "An assertion that the claim names is missing.",
    "assertion.hardBinding.redacted": "The signed hash was redacted, which is not allowed.",
    "assertion.multipleHardBindings": "The claim covers the image by more than one hash.",
    "assertion.undeclared": "There is an assertion that the claim does not name, so it was not signed.",
    "assertion.inaccessible": "An assertion is kept elsewhere and was not fetched.",
    "assertion.notRedacted": "An assertion was to be redacted, but is still there.",
    "assertion.selfRedacted": "The manifest redacts an assertion of its own, which is not allowed.",
    "assertion.action.redacted": "An action was redacted, which is not allowed.",
    "assertion.action.malformed": "The list of actions breaks the rules of the format.",
    "assertion.action.ingredientMismatch": "An action names an ingredient that is not there.",
    "assertion.action.redactionMismatch": "An action of redaction names nothing that was redacted.",
    "assertion.action.softBindingMissing": (
        "An action says that a mark was put in, but no soft binding names it."
    ),
    "assertion.action.redactionReason": "A redaction gives no reason.",
    "assertion.required.missing": "An assertion that must be there is missing.",
    "assertion.json.invalid": "An assertion is not valid JSON.",
    "assertion.cbor.invalid": "An assertion is not valid CBOR.",
    "assertion.cloud-data.hardBinding": "The hash of the image is kept elsewhere, which is not allowed.",
    "assertion.cloud-data.actions": "The list of actions is kept elsewhere, which is not allowed.",
    "assertion.cloud-data.mismatch": "An assertion kept elsewhere does not match its signed hash.",
    "assertion.cloud-data.malformed": "An assertion kept elsewhere breaks the rules of the format.",
    "assertion.cloud-data.labelMismatch": "An assertion kept elsewhere is of another kind than it says.",
    "assertion.cloud-data.size": "An assertion kept elsewhere has another size than it says.",
    "assertion.metadata.disallowed": "A metadata assertion holds a field that is not allowed.",
    "assertion.ingredient.malformed": "An ingredient breaks the rules of the format.",
    "assertion.external-reference.malformed": "An external reference breaks the rules of the format.",
    "assertion.externalReference.malformed": "An external reference breaks the rules of the format.",
    "assertion.externalReference.created": "An external reference is claimed as made by the signer.",
    "assertion.timestamp.malformed": "A time-stamp assertion breaks the rules of the format.",
    "assertion.outsideManifest": "An assertion lies outside the manifest that names it.",
    "assertion.alternativeContentRepresentation.missing": (
        "An alternative representation of the content is missing."
    ),
    # ingredients
    "ingredient.malformed": "An ingredient breaks the rules of the format.",
    "manifest.unknownProvenance": "Something that this image was made from has an unknown origin.",
    "ingredient.manifest.missing": "The credential of something that this image was made from is missing.",
    "ingredient.manifest.mismatch": "The credential of something that this image was made from was altered.",
    "ingredient.manifest.validated": "The credential of an ingredient is as it was when it was used.",
    "ingredient.claimSignature.missing": "The credential of an ingredient is not signed.",
    "ingredient.claimSignature.mismatch": "The signature of an ingredient's credential was altered.",
    "ingredient.claimSignature.validated": "The signature of an ingredient's credential is good.",
    "ingredient.hashedURI.mismatch": "Data of an ingredient was changed after it was signed.",
    "ingredient.unknownProvenance": "An ingredient came without a credential, so its origin is unknown.",
    "hashedURI.missing": "The credential points to something that is not there.",
    "hashedURI.mismatch": "Something that the credential points to was changed after it was signed.",
    # algorithms and the rest
    "algorithm.unsupported": "The credential uses an algorithm that is not supported.",
    "algorithm.deprecated": "The credential uses an algorithm that is out of date.",
    "general.error": "The credential could not be validated.",
    # CAWG identity
    "cawg.identity.well-formed": "The identity assertion is well formed.",
    "cawg.identity.trusted": "The identity in the credential is on the trust list.",
    "cawg.identity.cbor.invalid": "The identity assertion is not valid CBOR.",
    "cawg.identity.assertion.mismatch": "The identity assertion does not fit the claim.",
    "cawg.identity.assertion.duplicate": "The identity assertion names an assertion twice.",
    "cawg.identity.credential_revoked": "The credential of the identity assertion was revoked.",
    "cawg.identity.hard_binding_missing": "The identity assertion does not cover the image.",
    "cawg.identity.sig_type.unknown": "The identity assertion is signed in an unknown way.",
    "cawg.identity.pad.invalid": "The identity assertion's padding is not empty.",
    "cawg.ica.untrusted_issuer": "The identity's issuer is not on the trust list.",
    "cawg.ica.invalid_issuer": "The identity's issuer cannot be checked without the network.",
    "cawg.ica.invalid_did_document": "The identity's issuer cannot be checked.",
    "cawg.ica.did_unavailable": "The identity's issuer cannot be checked without the network.",
    "cawg.ica.did_unsupported": "The identity's issuer is named in an unsupported way.",
    "cawg.ica.signature_mismatch": "The identity's signature does not fit.",
    "cawg.ica.credential_valid": "The identity's credential is valid.",
    "cawg.ica.invalid_alg": "The identity's credential uses an algorithm that is not supported.",
    "cawg.ica.invalid_content_type": "The identity's credential is of an unknown kind.",
    "cawg.ica.invalid_cose_sign1": "The identity's signature cannot be read.",
    "cawg.ica.invalid_verifiable_credential": "The identity's credential cannot be read.",
    "cawg.ica.signer_payload.mismatch": "The identity's credential was made for another claim.",
    "cawg.ica.time_stamp.invalid": "The time-stamp of the identity's credential is not valid.",
    "cawg.ica.time_stamp.validated": "The time-stamp of the identity's credential fits.",
    "cawg.ica.valid_from.missing": "The identity's credential does not say from when it is valid.",
    "cawg.ica.valid_from.invalid": "The identity's credential was not yet valid.",
    "cawg.ica.valid_until.invalid": "The identity's credential had expired.",
    "cawg.x509.algorithm.unsupported": "The identity's signature uses an algorithm that is not supported.",
    "cawg.x509.credential.invalid": "The certificate of the identity is not valid.",
    "cawg.x509.credential.trusted": "The certificate of the identity is on the trust list.",
    "cawg.x509.credential.untrusted": "The certificate of the identity is not on the trust list.",
    "cawg.x509.signature.mismatch": "The identity's signature does not fit.",
    "cawg.x509.signature.outside_validity": "The identity signed outside its certificate's validity.",
    "cawg.x509.signature.validated": "The identity's signature is good.",
}

#: A hash mismatch that says nothing about the picture: the rules on what a hash may leave out
#: became stricter with C2PA 2, and files signed before may leave out more.
EXCLUSION = (
    "The signed hash leaves out more of the file than the credential itself, which is no longer "
    "allowed: the parts left out, such as EXIF, may have been changed unseen."
)

#: What an action lacks, by words of the library's explanation of ``assertion.action.malformed``.
_ACTIONS = (
    (
        ("digitalsourcetype", "digital source type"),
        "An action of creation does not say the digital source type, which it must.",
    ),
    (
        ("first action", "must be first", "created or opened"),
        "The actions must begin with created or opened.",
    ),
    (("ingredient",), "An action does not name the ingredient that it speaks of."),
)

#: The signed bytes are not those that are here. Of all failures only these say that something was changed.
_CHANGED = frozenset(
    {
        "claimSignature.mismatch",
        "assertion.dataHash.mismatch",
        "assertion.bmffHash.mismatch",
        "assertion.boxesHash.mismatch",
        "assertion.boxesHash.unknownBox",
        "assertion.multiAssetHash.mismatch",
        "assertion.multiAssetHash.missingPart",
        "assertion.collectionHash.mismatch",
        "assertion.hashedURI.mismatch",
        "hashedURI.mismatch",
        "ingredient.hashedURI.mismatch",
        "ingredient.manifest.mismatch",
        "ingredient.claimSignature.mismatch",
    }
)
#: Say who signed, when and with what; nothing against signature and hashes.
_SIGNER = (
    "signingCredential.",
    "countermark.signer.",
    "claimSignature.outsideValidity",
    "timeStamp.",
    "timeOfSigning.",
)


def says_changed(code: str, explanation: str = "") -> bool:
    """Whether a failure means that the image or its credential is not as it was signed."""
    return code in _CHANGED and "exclusion" not in explanation.lower()


def only_signer(code: str) -> bool:
    """Whether a failure speaks of the signer alone, so that what was signed still fits the image."""
    return code.startswith(_SIGNER)


def only_identity(code: str) -> bool:
    """Whether a failure speaks of a CAWG identity assertion: of that identity, not of the credential.

    CAWG identity assertion 1.2, "Validating": it is the identity assertion that is rejected.
    """
    return code.startswith("cawg.")


#: Said of every image without interest to people; not reported as notices.
ROUTINE = frozenset(
    {
        "signingCredential.ocsp.skipped",
        "ingredient.unknownProvenance",
        "ingredient.claimSignature.validated",
        "ingredient.manifest.validated",
    }
)


def sentence(code: str, explanation: str = "") -> str:
    """What ``code`` means; for an unknown code, the library's own explanation."""
    if code.endswith("Hash.mismatch") and "exclusion" in explanation.lower():
        return EXCLUSION
    if code == "assertion.action.malformed":
        text = explanation.lower()
        for marks, words in _ACTIONS:
            if any(mark in text for mark in marks):
                return words
    known = SENTENCES.get(code)
    if known is not None:
        return known
    tail = f": {explanation.rstrip('.')}" if explanation else ""
    return f"Validation reported {code}{tail}."
