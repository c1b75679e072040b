"""What went wrong with a set of the Hugging Face hub, and what is to be done about it?"""

from __future__ import annotations

import re

from anytime_lib.errors import DataError

# By the names of the errors behind it, or its words; the first that fits. `{page}` is the set's.
ADVICE = {
    "GatedRepo|is a gated": "accept its terms on {page} with the account of your token (`hf auth login`, HF_TOKEN)",
    "RevisionNotFound": "see {page}/commits/main, or leave the revision out",
    "LocalEntryNotFound|ConnectionError|ConnectError|TransportError|OfflineMode": (
        "go online, or download it from {page} and give its path, or, if it was loaded before, name its commit "
        "(revision=COMMIT) to have it from the cache"
    ),
    "EntryNotFound": "see its files on {page}",
    "HFValidation": "write hub:OWNER/NAME",
    "RepositoryNotFound|DatasetNotFound": "check {page}, take another, or a local file",
    "Config name is missing|BuilderConfig.*not found": "name one, hub:{name}#config=...",
    "": "take another or a local file",
}


def hub_error(name: str, error: BaseException) -> DataError:
    """What the hub said and what to do, in one sentence; what follows a `?` in an address may be secret and is left
    out."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    said = re.sub(r"\?\S*", "", " ".join(str(error).split()))[:200]
    kinds = " ".join(kind.__name__ for e in chain for kind in type(e).__mro__)
    advice = next(text for pattern, text in ADVICE.items() if re.search(pattern, f"{kinds} {said}"))
    told = advice.format(name=name, page=f"https://huggingface.co/datasets/{name}")
    return DataError(f"{name} could not be had from the hub: {told} ({type(error).__name__}: {said})")
