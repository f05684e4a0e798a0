"""What checks are evidence towards, in groups that several checks share; ``reports.claims`` has the texts."""

from __future__ import annotations

#: A signed credential is in the file.
SIGNED_METADATA = (
    "eu-ai-act/50.2/marked",
    "eu-code/1.1.1",
    "us-ca-sb942/22757.3.b.2",
    "in-it-rules/3.3/metadata",
)
#: It is of a kind that others read.
INTEROPERABLE = ("eu-ai-act/50.2/interoperable", "eu-code/3/interoperable", "us-ca-sb942/22757.3.b.3")
#: A watermark is in the pixels.
WATERMARKED = ("eu-ai-act/50.2/marked", "eu-code/1.1.2", "us-ca-sb942/22757.3.b.4")
#: What was stripped is found again.
FOUND_AGAIN = ("eu-ai-act/50.2/robust", "eu-code/1.1.3", "eu-code/3/robust", "us-ca-sb942/22757.3.b.4")
#: Generated pictures are found.
DETECTABLE = ("eu-ai-act/50.2/detectable", "eu-ai-act/50.2/effective", "eu-code/2", "eu-code/3/effective")
#: And others are not.
RELIABLE = ("eu-ai-act/50.2/reliable", "eu-code/3/reliable")
#: After handling, too.
ROBUST = ("eu-ai-act/50.2/robust", "eu-code/3/robust")
#: Marks outlive handling.
DURABLE = (*ROBUST, "us-ca-sb942/22757.3.b.4")
#: The credential names its provider, system, time and identifier.
IDENTIFIED = (
    "eu-code/1.3",
    "us-ca-sb942/22757.3.b.1.A",
    "us-ca-sb942/22757.3.b.1.B",
    "us-ca-sb942/22757.3.b.1.C",
    "us-ca-sb942/22757.3.b.1.D",
    "in-it-rules/3.3/identifier",
)
#: Labels are in the file's metadata.
LABELLED = ("eu-ai-act/50.2/marked", "cn-labels/5", "in-it-rules/3.3/metadata")
#: An export keeps what was there.
KEPT = (
    "eu-code/1.2",
    "eu-code/3/robust",
    "us-ca-sb942/22757.3.1",
    "us-ca-sb942/22757.3.b.4",
    "cn-labels/10",
    "in-it-rules/3.3/kept",
)
