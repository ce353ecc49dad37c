"""`manage.py check_archive`: what the hub would say to an archive, without uploading it."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from environments import archives, manifest

REFUSED, UNREADABLE = 1, 2

Report = dict[str, Any]


class Command(BaseCommand):
    help = (
        "Check archives (.zip, .tar.gz, .whl) as an upload would be, and list every fault. Needs "
        "no database. Ends with 0 if all are accepted, 1 if one is refused, 2 if one is unreadable."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *, files: list[Path], **options: Any) -> None:
        reports = [_report(path) for path in files]
        if options["json"]:
            self.stdout.write(json.dumps(reports))
        else:
            for report in reports:
                self._say(report)
        if any(report["error"] for report in reports):
            sys.exit(UNREADABLE)
        if not all(report["accepted"] for report in reports):
            sys.exit(REFUSED)

    def _say(self, report: Report) -> None:
        file = report["file"]
        if report["error"]:
            self.stderr.write(f"{file}: cannot be read: {report['error']}")
        elif report["accepted"]:
            size, files = report["size"], report["files"]
            self.stdout.write(f"{file}: accepted, {report['kind']}, {files} files, {size} bytes")
            for one in report["environments"]:
                form = one["format"] or "a format found out when it is run"
                words = f"{one['name']} {one['version']}, {form}, made by {one['entry']}"
                self.stdout.write(f"{file}: {words}")
        for fault in report["faults"]:
            where = fault["member"] or "archive"
            self.stdout.write(f"{file}: {fault['code']}: {where}: {fault['message']}")


def _report(path: Path) -> Report:
    """What is said about one file. `faults` of code "manifest" name a field, not a member."""
    report: Report = {"file": str(path), "accepted": False, "error": None, "faults": []}
    try:
        with path.open("rb") as file:
            archive = archives.check(file, path.name)
            report |= {"kind": archive.kind, "sha256": archive.sha256, "size": archive.size}
            report |= {"files": len(archive.files)}
            report["environments"] = [
                {key: getattr(one, key) for key in ("name", "version", "format", "entry", "args")}
                for one in manifest.read(archive)
            ]
    except OSError as error:
        report["error"] = error.strerror or str(error)
    except archives.BadArchive as refused:
        report["faults"] = [vars(fault) for fault in refused.faults]
    except manifest.BadManifest as bad:
        report["faults"] = [
            {"code": "manifest", "member": problem.field, "message": problem.message}
            for problem in bad.problems
        ]
    else:
        report["accepted"] = True
    return report
