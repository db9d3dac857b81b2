"""Validate RO-Crates without a network: ``python validate_crate.py CRATE...``, where roc-validator is.

The validator asks for the JSON-LD contexts of RO-Crate and of its workflow terms. They are answered from the
copy that ``rocrate`` carries, with the terms that version 1.1 names otherwise.
"""

import json
import sys
from importlib import resources

from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

BIOSCHEMAS = "https://bioschemas.org/"
TERMS = json.loads((resources.files("rocrate") / "data/ro-crate.jsonld").read_text())["@context"]
OLDER = {
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}ComputationalWorkflow#output",
}
WORKFLOW_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}


class Answer:
    status_code = 200
    headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012

    def __init__(self, context):
        self.context = context

    def json(self):
        return {"@context": self.context}


def answer(self, url, **options):
    known = {
        "https://w3id.org/ro/crate/1.1/context": TERMS | OLDER,
        "https://w3id.org/ro/terms/workflow-run/context": WORKFLOW_TERMS,
    }
    return Answer(known[url])


HttpRequester.get = answer
failed = 0
for crate in sys.argv[1:]:
    settings = services.ValidationSettings(
        rocrate_uri=crate,
        profile_identifier="workflow-run-crate",
        requirement_severity=models.Severity.RECOMMENDED,
        skip_availability_check=True,
    )
    for issue in services.validate(settings).get_issues():
        print(f"{issue.severity.name}: {issue.check.identifier}: {issue.message}")
        failed += issue.severity >= models.Severity.REQUIRED
sys.exit(bool(failed))
