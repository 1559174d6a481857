"""`cellflow selftest`: the installed package against closed forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cellflow.cli._program import Command, Result

if TYPE_CHECKING:
    from cellflow.evaluation.selftest import Finding

__all__ = ["selftest"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow.evaluation.selftest import selftest

    findings = selftest(random_state=options["seed"])
    n_failed = sum(not finding.passed for finding in findings)
    # JSON has no NaN.
    rows = [{k: None if v != v else v for k, v in asdict(found).items()} for found in findings]
    passed = f"{len(findings) - n_failed} of {len(findings)} comparisons with closed forms passed"
    advice = (
        "; reinstall cellflow-trajectory and what it needs, and if that does not help, report this"
        " table"
    )
    return Result(
        {"passed": not n_failed, "findings": rows, "seed": options["seed"]},
        f"{passed}{advice if n_failed else ''}.",
        "\n".join(_lines(findings)),
        int(bool(n_failed)),
    )


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.name) for finding in findings)
    yield f"{'':8}{'':{width}}  {'measured':>9}  {'bound':>7}  seconds"
    for f in findings:
        yield (
            f"{'ok' if f.passed else 'FAILED':8}{f.name:{width}}  {f.measured:9.2g}  {f.bound:7.2g}"
            f"  {f.seconds:7.1f}"
        )
        if f.error:
            yield f"{'':8}{f.error}"


selftest = Command(
    "selftest",
    "Compare the installed package with closed forms, in seconds; exit code 1 if it fails.",
    _run,
    needs_docstrings=False,
)
