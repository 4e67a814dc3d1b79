"""What the doctor says."""

from dataclasses import dataclass

OK, WARNING, FAILURE = "OK", "WARNING", "FAILURE"


@dataclass(frozen=True)
class Finding:
    """One answer. Unless it is OK, its `words` say what to do."""

    verdict: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.verdict:8}{self.subject}: {self.words}"
