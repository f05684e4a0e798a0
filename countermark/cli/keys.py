"""``countermark keys``: signing identities, from development to a real authority's certificate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from countermark.cli.output import FAIL, JSON, PASS, say, say_json, show_record
from countermark.cli.secrets import PASSPHRASE, PASSPHRASE_FILE, passphrase_of
from countermark.core.errors import ConfigError
from countermark.core.files import atomic_write

app = typer.Typer(
    help="Signing identities: create, request, import, rotate, revoke, examine.", no_args_is_help=True
)
trust = typer.Typer(help="Trust lists: whose signatures count.", no_args_is_help=True)
app.add_typer(trust, name="trust")
ALGORITHM = typer.Option(
    "es256", "--algorithm", help="Of the key: es256, es384, es512, ps256, ps384, ps512 or ed25519."
)


@app.command("list")
def list_keys(as_json: bool = JSON) -> int:
    """List the identities."""
    from countermark.provenance.identities.lifecycle import expiry_warning
    from countermark.provenance.identities.store import list_identities

    records = list_identities()
    lines = [f"{r.name:20} {r.kind:12} {r.algorithm:8} {r.status:10} until {r.not_after}" for r in records]
    lines += filter(None, map(expiry_warning, records))
    show_record([asdict(r) for r in records], as_json=as_json, text="\n".join(lines) or "No identities yet.")
    return PASS


@app.command("create")
def create(
    name: str = typer.Argument("default", help="Name of the identity."),
    algorithm: str = ALGORITHM,
    days: int = typer.Option(365, "--days", min=1, max=3650, help="How long the certificate lasts."),
    passphrase: str | None = PASSPHRASE,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    timestamp_url: str | None = typer.Option(None, "--timestamp-url", help="RFC 3161 authority."),
    as_json: bool = JSON,
) -> int:
    """Create a development identity. Only you will trust it."""
    from countermark.provenance.identities.lifecycle import expiry_warning
    from countermark.provenance.identities.store import create_identity

    secret = passphrase_of(passphrase, passphrase_file)
    record = create_identity(
        name, algorithm=algorithm, days=days, passphrase=secret, timestamp_url=timestamp_url
    )
    lines = [f"Created {record.name} ({record.algorithm}), until {record.not_after}."]
    lines += filter(None, [expiry_warning(record)])
    show_record(record, as_json=as_json, text="\n".join(lines))
    return PASS


@app.command("request")
def request(
    name: str = typer.Argument(..., help="Name of the identity."),
    organization: str = typer.Option(..., "--organization", help="As the authority knows it."),
    common_name: str = typer.Option(..., "--common-name", help="Name of who signs."),
    out: Path = typer.Option(..., "--out", "-o", help="Where the signing request goes."),
    country: str | None = typer.Option(None, "--country", help="Two letters."),
    algorithm: str = ALGORITHM,
    passphrase: str | None = PASSPHRASE,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> int:
    """Make a key and the request that a certificate authority answers with a certificate."""
    from countermark.provenance.identities.store import request_csr

    csr = request_csr(
        name,
        organization=organization,
        common_name=common_name,
        country=country,
        algorithm=algorithm,
        passphrase=passphrase_of(passphrase, passphrase_file),
    )
    atomic_write(out, csr)
    say(f"Wrote {out}. Import the answer with: countermark keys import {name} --chain FILE")
    return PASS


@app.command("import")
def import_keys(
    name: str = typer.Argument(..., help="Name of the identity."),
    chain: Path | None = typer.Option(None, "--chain", help="PEM certificates, signing certificate first."),
    key: Path | None = typer.Option(None, "--key", help="PEM private key."),
    pkcs12: Path | None = typer.Option(None, "--pkcs12", help="PKCS#12 file instead."),
    passphrase: str | None = PASSPHRASE,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    timestamp_url: str | None = typer.Option(None, "--timestamp-url", help="RFC 3161 authority."),
    as_json: bool = JSON,
) -> int:
    """Import a real authority's certificate."""
    from countermark.core.images import read_bytes
    from countermark.provenance.identities.store import import_identity

    if pkcs12 is None and chain is None:
        raise ConfigError("There is nothing to import.", hint="Give --chain (and --key), or --pkcs12.")
    secret = passphrase_of(passphrase, passphrase_file)
    record = import_identity(
        name,
        chain=None if chain is None else read_bytes(chain),
        key=None if key is None else read_bytes(key),
        pkcs12=None if pkcs12 is None else read_bytes(pkcs12),
        passphrase=secret,
        keep_passphrase=secret,
        timestamp_url=timestamp_url,
    )
    show_record(record, as_json=as_json, text=f"Imported {record.name} ({record.algorithm}).")
    return PASS


@app.command("rotate")
def rotate(
    name: str = typer.Argument(..., help="Name of the identity."),
    passphrase: str | None = PASSPHRASE,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    days: int = typer.Option(365, "--days", min=1, help="How long the certificate lasts."),
) -> int:
    """Give an identity a new key and certificate."""
    from countermark.provenance.identities.lifecycle import rotate_identity

    record = rotate_identity(name, passphrase=passphrase_of(passphrase, passphrase_file), days=days)
    say(f"{record.name} has a new key, until {record.not_after}.")
    return PASS


@app.command("expire")
def expire(
    name: str = typer.Argument(..., help="Name of the identity."),
    reason: str = typer.Option("taken out of use", "--reason", help="Stays with the identity."),
) -> int:
    """Take an identity out of use; what it signed stays valid."""
    from countermark.provenance.identities.lifecycle import expire_identity

    say(f"{expire_identity(name, reason).name} no longer signs.")
    return PASS


@app.command("revoke")
def revoke(
    name: str = typer.Argument(..., help="Name of the identity."),
    reason: str = typer.Option("key compromised", "--reason", help="Stays with the identity."),
) -> int:
    """Revoke an identity; what it signed is no longer trusted here."""
    from countermark.provenance.identities.lifecycle import revoke_identity

    say(f"{revoke_identity(name, reason).name} is revoked.")
    return PASS


@app.command("doctor")
def doctor(
    certificate: str = typer.Argument(
        ..., help="An identity's name, or a PEM file of a chain, signing certificate first."
    ),
    as_json: bool = JSON,
) -> int:
    """Say everything that keeps an identity or a certificate chain from signing Content Credentials."""
    from countermark.core.images import read_bytes
    from countermark.provenance.identities.doctor import examine
    from countermark.provenance.identities.records import folder_of, read_record

    place = Path(certificate)
    if not place.exists():
        read_record(certificate)  # says which identities there are
        place = folder_of(certificate) / "chain.pem"
    problems = examine(read_bytes(place))
    if as_json:
        say_json([asdict(p) for p in problems], sort=False)
    else:
        lines = [f"{p.severity}: {p.where}: {p.sentence} ({p.code})" for p in problems]
        say("\n".join(lines) or "Nothing is wrong with this chain.")
    return FAIL if any(p.severity == "failure" for p in problems) else PASS


@trust.command("list")
def list_trust(as_json: bool = JSON) -> int:
    """List the trust lists that count by default; exit 1 if one of them is out of date."""
    from countermark.provenance.identities.trust import default_lists

    rows = [
        {
            "name": each.name,
            "authorities": each.size,
            "for": "time-stamps" if not each.anchors_pem else "signers",
            "date": each.date,
            "next_update": each.next_update,
            "source": each.source,
            "outdated": each.outdated(),
        }
        for each in default_lists()
    ]
    lines = [
        f"{r['name']:28} {r['authorities']:4} for {r['for']:12} {r['date']}  {r['source']}" for r in rows
    ]
    lines += [str(row["outdated"]) for row in rows if row["outdated"]]
    show_record(rows, as_json=as_json, text="\n".join(lines))
    return FAIL if any(row["outdated"] for row in rows) else PASS


@trust.command("update")
def update(
    file: Path = typer.Argument(..., help="A PEM bundle, a C2PA list (JSON), or a list of your own."),
    as_json: bool = JSON,
) -> int:
    """Check a trust list and use it from now on, in place of an older one of its name."""
    from countermark.provenance.identities.trust import update_trust

    new, path = update_trust(file)
    facts = {"name": new.name, "authorities": new.size, "date": new.date, "path": str(path)}
    dated = f" of {new.date[:10]}" if new.date else ""
    show_record(facts, as_json=as_json, text=f"{new.name}{dated}: {new.size} authorities, in {path}.")
    return PASS
