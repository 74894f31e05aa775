"""The workflows: what may run, with which rights, on whose word, and that they call what exists."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_dpone.cli.args import build_parser
from pytest_dpone.plugin.options import TABLE
from pytest_dpone.services.table import SERVICES

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
LIVE, RELEASE, CI = "live-certification.yml", "release.yml", "ci.yml"

LANDING: frozenset[str] = frozenset()
"""Options that the workflows may use before the plugin has them. One that the plugin has must leave this list."""

TREES = {"local": "test_artifacts/live_certification/", "vendor": "test_artifacts/live_certification_vendor/"}
"""Jobs of live-certification.yml that certify, and the folders that they must keep."""


@dataclass(frozen=True)
class Workflow:
    """One file: its text, and what YAML makes of it."""

    name: str
    text: str

    @property
    def data(self) -> dict[Any, Any]:
        return yaml.safe_load(self.text)

    @property
    def triggers(self) -> Any:
        return self.data[True]  # YAML 1.1 reads the key `on` as a boolean

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        return self.data["jobs"]

    @property
    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Each step with its job."""
        return [(name, step) for name, job in self.jobs.items() for step in job["steps"]]

    def using(self, action: str) -> list[tuple[str, dict[str, Any]]]:
        """The steps that use an action."""
        return [(job, step) for job, step in self.steps if step.get("uses", "").startswith(f"{action}@")]


Rule = Callable[[Workflow], list[str]]
"""What is wrong with a workflow."""


def starts_without_rights(workflow: Workflow) -> list[str]:
    rights = workflow.data.get("permissions")
    return [] if rights == {} else [f"permissions at the top are {rights!r}: say {{}}, and give each job what it needs"]


WRITERS = {(RELEASE, "publish"): {"id-token"}, (LIVE, "attest"): {"id-token", "attestations"}}
"""Jobs that may write, and what: the token of the one that publishes, and of the one that attests."""


def jobs_may_only_read(workflow: Workflow) -> list[str]:
    """Rights are named one by one."""
    found = []
    for name, job in workflow.jobs.items():
        rights = job.get("permissions")
        if not isinstance(rights, dict):
            found.append(f"{name}: permissions are {rights!r}")
            continue
        writing = {right for right, level in rights.items() if level not in ("read", "none")}
        if writing != WRITERS.get((workflow.name, name), set()):
            found.append(f"{name}: may write {sorted(writing)}")
    return found


def actions_are_pinned(workflow: Workflow) -> list[str]:
    lines = re.findall(r"^.*\buses:.*$", workflow.text, re.M)
    count = sum("uses" in step for _, step in workflow.steps)
    pinned = re.compile(r" *(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    found = [f"not pinned by digest and version: {line.strip()}" for line in lines if not pinned.fullmatch(line)]
    return found if len(lines) == count else [*found, f"{len(lines)} lines with uses:, {count} steps"]


def scripts_hold_no_expressions(workflow: Workflow) -> list[str]:
    """An expression is put into a script as text, before the shell reads it: whoever sets it writes the script."""
    return [f"{job}: {step['run'][:40]!r}" for job, step in workflow.steps if "${{" in step.get("run", "")]


def checkouts_keep_no_credentials(workflow: Workflow) -> list[str]:
    return [
        job
        for job, step in workflow.using("actions/checkout")
        if step.get("with", {}).get("persist-credentials") is not False
    ]


def runs_end(workflow: Workflow) -> list[str]:
    found = [name for name, job in workflow.jobs.items() if not 0 < job.get("timeout-minutes", 0) <= 120]
    return found if "group" in workflow.data.get("concurrency", {}) else [*found, "there is no concurrency group"]


def nothing_may_fail_unseen(workflow: Workflow) -> list[str]:
    items = [*workflow.jobs.items(), *workflow.steps]
    return [f"{name} goes on after an error" for name, item in items if "continue-on-error" in item]


def shells_stop_at_errors(workflow: Workflow) -> list[str]:
    """Only with `shell: bash` does an error inside a pipe count; a script of one command needs it not."""
    if workflow.data.get("defaults") == {"run": {"shell": "bash"}}:
        return [f"{job}: another shell" for job, step in workflow.steps if step.get("shell", "bash") != "bash"]
    return [f"{job}: {step['run']!r}" for job, step in workflow.steps if re.search(r"[|\n]", step.get("run", ""))]


def secrets_stay_with_the_vendors(workflow: Workflow) -> list[str]:
    """Secrets are in the environment of steps of the one job that has the environment of that name."""
    found = []
    for name, job in workflow.jobs.items():
        needs = [step for step in job["steps"] if "secrets." in str(step.get("env", {}))]
        elsewhere = str(job).count("secrets.") - str([step["env"] for step in needs]).count("secrets.")
        if elsewhere:
            found.append(f"{name}: a secret outside of the environment of a step")
        if needs and (name, job.get("environment")) != ("vendor", "vendor-live"):
            found.append(f"{name}: has secrets")
        found += [f"{name}: gives secrets to {step['name']}" for step in needs if "pip install" in step["run"]]
    return found


def commands_exist(workflow: Workflow) -> list[str]:
    found = []
    for job, words in commands(workflow):
        if words[0] == "pytest":
            names = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
            found += [f"{job}: pytest has no {name}" for name in sorted(names - pytest_options() - LANDING)]
        else:
            found += [f"{job}: {error}" for error in parse_errors(words[1:])]
    return found


def commands(workflow: Workflow) -> Iterator[tuple[str, list[str]]]:
    """The calls of our programs in the scripts, as words."""
    for job, step in workflow.steps:
        for line in step.get("run", "").replace("\\\n", " ").splitlines():
            if re.match(r"(if !? ?)?pytest(-dpone)? ", line.strip()):
                words = shlex.split(line)
                yield job, words[next(i for i, word in enumerate(words) if word.startswith("pytest")) :]


@cache
def pytest_options() -> frozenset[str]:
    done = subprocess.run([sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout))
    assert {"-n", "--strict-markers", "--dpone-profile"} <= found
    return frozenset(found)


def parse_errors(argv: list[str]) -> list[str]:
    try:
        build_parser().parse_args(argv)
    except SystemExit:
        return [f"wrong use: pytest-dpone {' '.join(argv)}"]
    return []


def code_of_ours_has_neither_key_nor_token(workflow: Workflow) -> list[str]:
    """A job that installs, tests or runs the project can't sign: no token that names it, and no key to seal with."""
    found = []
    for name, job in workflow.jobs.items():
        scripts = "\n".join(step.get("run", "") for step in job["steps"])
        ours = re.search(r"\b(pip|python3?|pytest|pytest-dpone|make)\b", scripts) or workflow_uses(
            job, "actions/checkout"
        )
        rights = job.get("permissions") or {}
        if ours and any(level == "write" for level in rights.values()):
            found.append(f"{name}: runs code of the project beside a right to write")
        if re.search(r"\bpytest-dpone (seal|keygen)\b", scripts):
            found.append(f"{name}: has a key to seal with")
        if re.search(
            r"(?i)key", " ".join([*map(str, job.get("env", {})), *(k for s in job["steps"] for k in s.get("env", {}))])
        ):
            found.append(f"{name}: is given a key")
    return found


def workflow_uses(job: dict[str, Any], action: str) -> bool:
    return any(step.get("uses", "").startswith(f"{action}@") for step in job["steps"])


COMMON: tuple[Rule, ...] = (
    starts_without_rights,
    jobs_may_only_read,
    actions_are_pinned,
    scripts_hold_no_expressions,
    checkouts_keep_no_credentials,
    runs_end,
    nothing_may_fail_unseen,
    shells_stop_at_errors,
    secrets_stay_with_the_vendors,
    commands_exist,
    code_of_ours_has_neither_key_nor_token,
)


def evidence_is_kept(workflow: Workflow) -> list[str]:
    """The whole tree, of a red run too, under a name that no other attempt has."""
    found = []
    for name, tree in TREES.items():
        steps = workflow.jobs[name]["steps"]
        last = steps[-1]
        options = last.get("with", {})
        wanted = {
            "name": "live-certification-${{ inputs.profile }}-${{ github.run_attempt }}",
            "path": tree,
            "include-hidden-files": True,
            "if-no-files-found": "error",
        }
        if not last.get("uses", "").startswith("actions/upload-artifact@") or last.get("if") != "always()":
            found.append(f"{name}: the last step is no upload that always runs")
        if options != wanted:
            found.append(f"{name}: the upload has {options}")
    return found


def shards_are_merged(workflow: Workflow) -> list[str]:
    """Every shard is run, also beside a red one, and kept under a name of its own; one job judges all of them."""
    shard, merge = workflow.jobs["shard"], workflow.jobs["local"]
    numbers = shard["strategy"]["matrix"]["shard"]
    found = []
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < 2:
        found.append(f"the shards are {numbers}")
    if shard["strategy"].get("fail-fast") is not False:
        found.append("a red shard ends the others")
    (run,) = [step for step in shard["steps"] if step.get("run", "").startswith("pytest ")]
    if f'--dpone-shard="$SHARD/{len(numbers)}"' not in run["run"] or run["env"].get("SHARD") != "${{ matrix.shard }}":
        found.append("a job plays another shard than its own")
    name = "shard-${{ inputs.profile }}-${{ github.run_attempt }}-"
    wanted = {
        "name": name + "${{ matrix.shard }}",
        "path": "test_artifacts/live_certification/shards/",
        "include-hidden-files": True,
        "if-no-files-found": "error",
    }
    last = shard["steps"][-1]
    if last.get("with") != wanted or last.get("if") != "always()":
        found.append(f"a shard keeps {last.get('with')}")
    if merge.get("needs") != "shard" or not merge["if"].startswith("always() && "):
        found.append("the verdict does not wait for all shards, red ones too")
    downloads = [step["with"] for job, step in workflow.using("actions/download-artifact") if job == "local"]
    if downloads != [{"pattern": f"{name}*", "path": "shards/"}]:
        found.append(f"merged is {downloads}")
    merges = [words[1:] for job, words in commands(workflow) if words[0] == "pytest-dpone" and job == "local"]
    if merges != [["merge", "shards", "--output-dir", TREES["local"].rstrip("/")]]:
        found.append(f"the merge is {merges}")
    return found


def what_was_kept_is_attested(workflow: Workflow) -> list[str]:
    """The job that attests waits for those that certify, takes what they kept, and attests its sums."""
    job = workflow.jobs["attest"]
    uses = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
    found = []
    if set(job["needs"]) != set(TREES):
        found.append(f"attest waits for {job['needs']}")
    if job["if"] != "${{ !cancelled() && (needs.local.result == 'success' || needs.vendor.result == 'success') }}":
        found.append(f"attest runs if {job['if']}")
    if uses != ["actions/download-artifact", "", "actions/attest", "actions/upload-artifact"]:
        found.append(f"attest uses {uses}")
    took, _, attested, kept = (step.get("with", {}) for step in job["steps"])
    if took.get("name") != "live-certification-${{ inputs.profile }}-${{ github.run_attempt }}":
        found.append(f"attest takes {took}")
    if attested != {"subject-path": "SHA256SUMS"} or kept.get("path") != "SHA256SUMS":
        found.append(f"attests {attested}, keeps {kept}")
    return found


def is_started_by_hand(workflow: Workflow) -> list[str]:
    return [] if set(workflow.triggers) == {"workflow_dispatch"} else [f"triggers are {set(workflow.triggers)}"]


def every_choice_runs_one_job(workflow: Workflow) -> list[str]:
    """For every choice exactly what it means, one job or the shards and their verdict; else the job that fails."""
    inputs = workflow.triggers["workflow_dispatch"]["inputs"]
    found = []
    for profile, vendor in itertools.product([*inputs["profile"]["options"], "another"], (True, False)):
        # A job that waits for others runs for whichever of them did.
        first = {name: job for name, job in workflow.jobs.items() if "needs" not in job}
        started = [name for name, job in first.items() if is_true(job["if"], profile, vendor)]
        if profile in ("local_live", "real_local"):
            meant = ["shard"]
        else:
            meant = ["vendor"] if profile == "vendor_live" and vendor else ["nothing"]
        if started != meant:
            found.append(f"{profile}, {vendor}: {started}, not {meant}")
    if not workflow.jobs["nothing"]["steps"][-1]["run"].endswith("exit 1\n"):
        found.append("the job for a choice that runs nothing does not fail")
    return found


def is_true(condition: str, profile: str, vendor: bool) -> bool:
    """A condition of a job, for these inputs."""
    condition = condition.replace("always() && ", "")
    known = r"inputs\.profile|inputs\.run_vendor_live|'\w+'|==|!=|!|&&|\|\||[()]|\s"
    assert re.sub(known, "", condition) == "", condition
    for sign, word in (("&&", " and "), ("||", " or "), ("!=", "<>"), ("!", " not "), ("<>", "!=")):
        condition = condition.replace(sign, word)
    condition = condition.replace("inputs.profile", "profile").replace("inputs.run_vendor_live", "vendor")
    return eval(condition.strip(), {}, {"profile": profile, "vendor": vendor})


def vendor_needs_every_address(workflow: Workflow) -> list[str]:
    """The first step names the addresses of all services that can be had, and the run gets the same ones."""
    wanted = {name for service in SERVICES.values() if service.implemented for name in service.variables}
    first, *others = workflow.jobs["vendor"]["steps"]
    (run,) = [step for step in others if step.get("run", "").startswith("pytest")]
    (line,) = re.findall(r"for name in (.+); do", first["run"])
    given = [{name for name in step["env"] if name.startswith("DPONE_")} for step in (first, run)]
    told = {**first["env"], **run["env"]}
    crossed = [name for name in wanted & set(told) if told[name] != f"${{{{ secrets.{name} }}}}"]
    same = [set(line.split()), *given] == [wanted] * 3
    return [*crossed, *([] if same else [f"wanted {sorted(wanted)}: checks {line}, gives {given}"])]


def publishing_waits_for_the_guard(workflow: Workflow) -> list[str]:
    found = []
    if workflow.triggers != {"push": {"tags": ["v*"]}}:
        found.append(f"triggers are {workflow.triggers}")
    for name in ("build", "publish"):
        job = workflow.jobs[name]
        needs = job.get("needs", [])
        if "guard" not in ([needs] if isinstance(needs, str) else needs):
            found.append(f"{name} does not need the guard")
    # `if: always()` would run a job although the guard was red.
    found += [f"{name} has a condition" for name, job in workflow.jobs.items() if "if" in job]
    found += [f"a step of {job} has a condition" for job, step in workflow.steps if "if" in step]
    if workflow.jobs["publish"].get("environment") != "pypi":
        found.append("publish is not in the environment pypi")
    if any("run" in step for step in workflow.jobs["publish"]["steps"]):
        found.append("publish runs a script beside its token")
    if workflow.jobs["guard"]["permissions"] != {"actions": "read", "contents": "read"}:
        found.append("the guard has other rights than to read")
    return found


def guard_asks_for_what_live_certification_writes(workflow: Workflow) -> list[str]:
    live = Workflow(LIVE, TEXTS[LIVE])
    scripts = "\n".join(step.get("run", "") for step in workflow.jobs["guard"]["steps"])
    found = []
    if live.data["run-name"] != "${{ inputs.profile }} ${{ inputs.release }}":
        found.append("runs have another name")
    if 'wanted="real_local $GITHUB_REF_NAME"' not in scripts or f"--workflow {LIVE} " not in scripts:
        found.append("another run is looked for")
    if '--name "live-certification-real_local-$attempt"' not in scripts:
        found.append("another artifact is looked for")
    return found


OF_ONE: tuple[tuple[str, Rule], ...] = (
    (LIVE, evidence_is_kept),
    (LIVE, shards_are_merged),
    (LIVE, what_was_kept_is_attested),
    (LIVE, is_started_by_hand),
    (LIVE, every_choice_runs_one_job),
    (LIVE, vendor_needs_every_address),
    (RELEASE, publishing_waits_for_the_guard),
    (RELEASE, guard_asks_for_what_live_certification_writes),
)
RULES = [*((name, rule) for name in TEXTS for rule in COMMON), *OF_ONE]


def told(value: object) -> str:
    return getattr(value, "__name__", str(value))


def test_the_workflows_are_there() -> None:
    assert set(TEXTS) == {CI, LIVE, RELEASE}
    for name, text in TEXTS.items():
        workflow = Workflow(name, text)
        assert workflow.steps
        assert all(set(step) & {"run", "uses"} for _, step in workflow.steps)
    assert {words[0] for _, words in commands(Workflow(LIVE, TEXTS[LIVE]))} == {"pytest", "pytest-dpone"}
    assert [words[2] for _, words in commands(Workflow(RELEASE, TEXTS[RELEASE]))] == [
        "evidence-chain-verify",
        "release-evidence-pack",
    ]


@pytest.mark.parametrize(("name", "rule"), RULES, ids=told)
def test_a_workflow_keeps_a_rule(name: str, rule: Rule) -> None:
    assert rule(Workflow(name, TEXTS[name])) == []


CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"
BREAKS: list[tuple[Rule, str, str, str]] = [
    (starts_without_rights, CI, "permissions: {}", "permissions: write-all"),
    (starts_without_rights, LIVE, "\npermissions: {}\n", "\n"),
    (jobs_may_only_read, CI, "contents: read", "contents: write"),
    (jobs_may_only_read, LIVE, "contents: read", "id-token: write"),
    (jobs_may_only_read, LIVE, "    permissions:\n      contents: read\n", ""),
    (jobs_may_only_read, RELEASE, "contents: read", "id-token: write"),
    (jobs_may_only_read, RELEASE, "id-token: write", "contents: write"),
    (actions_are_pinned, CI, CHECKOUT, "actions/checkout@v6"),
    (actions_are_pinned, LIVE, CHECKOUT, CHECKOUT.partition(" # ")[0]),
    (actions_are_pinned, RELEASE, CHECKOUT, CHECKOUT.replace("de0fac2e", "")),
    (scripts_hold_no_expressions, LIVE, '"$RELEASE"', '"${{ inputs.release }}"'),
    (scripts_hold_no_expressions, RELEASE, '"$GITHUB_REF_NAME"', '"${{ github.ref_name }}"'),
    (checkouts_keep_no_credentials, CI, "        with:\n          persist-credentials: false\n", ""),
    (checkouts_keep_no_credentials, RELEASE, "persist-credentials: false", "persist-credentials: true"),
    (runs_end, LIVE, "    timeout-minutes: 5\n", ""),
    (runs_end, CI, "concurrency:", "env:"),
    (nothing_may_fail_unseen, LIVE, "      - name: Certify\n", "      - name: Certify\n        continue-on-error: true\n"),
    (nothing_may_fail_unseen, RELEASE, "  guard:\n", "  guard:\n    continue-on-error: true\n"),
    (shells_stop_at_errors, RELEASE, "defaults:\n  run:\n    shell: bash\n", ""),
    (shells_stop_at_errors, CI, "make lint types", "make lint types | tee log"),
    (secrets_stay_with_the_vendors, LIVE, "environment: vendor-live", "environment: other"),
    (secrets_stay_with_the_vendors, LIVE, "ROWS: ${{ inputs.row_count }}", "ROWS: ${{ secrets.DPONE_MINIO_URL }}"),
    (secrets_stay_with_the_vendors, RELEASE, "      - name: Build\n", "      - name: ${{ secrets.TOKEN }}\n"),
    (commands_exist, LIVE, "--dpone-rows=", "--dpone-row="),
    (commands_exist, LIVE, "-n auto", "--workers auto"),
    (commands_exist, RELEASE, "--chain-dir", "--chain-folder"),
    (commands_exist, RELEASE, "ops evidence-chain-verify", "ops verify-evidence-chain"),
    (code_of_ours_has_neither_key_nor_token, LIVE, "      - name: List every file with its digest\n        run: |\n", "      - name: x\n        run: |\n          pip install .\n"),
    (code_of_ours_has_neither_key_nor_token, LIVE, "    steps:\n      - uses: actions/download", f"    steps:\n      - uses: {CHECKOUT}\n      - uses: actions/download"),
    (code_of_ours_has_neither_key_nor_token, LIVE, "contents: read", "id-token: write"),
    (code_of_ours_has_neither_key_nor_token, LIVE, "test -s ../SHA256SUMS", "pytest-dpone seal . --key x"),
    (code_of_ours_has_neither_key_nor_token, LIVE, "ROWS: ${{", "SEAL_KEY: ${{"),
    (what_was_kept_is_attested, LIVE, "needs: [local, vendor]", "needs: [local]"),
    (what_was_kept_is_attested, LIVE, "!cancelled() &&", "always() &&"),
    (what_was_kept_is_attested, LIVE, "actions/attest@", "actions/cache@"),
    (what_was_kept_is_attested, LIVE, "          path: evidence\n", "          path: evidence\n          name: other\n"),
    (what_was_kept_is_attested, LIVE, "subject-path: SHA256SUMS", "subject-path: evidence"),
    (evidence_is_kept, LIVE, "if: always()", "if: success()"),
    (evidence_is_kept, LIVE, "        if: always()\n", ""),
    (evidence_is_kept, LIVE, "if-no-files-found: error", "if-no-files-found: warn"),
    (evidence_is_kept, LIVE, "-${{ github.run_attempt }}", ""),
    (evidence_is_kept, LIVE, "path: test_artifacts/live_certification/\n", "path: test_artifacts/live_certification/matrix\n"),
    (evidence_is_kept, LIVE, "path: test_artifacts/live_certification_vendor/", "path: test_artifacts/live_certification/"),
    (shards_are_merged, LIVE, "shard: [1, 2, 3, 4]", "shard: [1, 2, 3]"),
    (shards_are_merged, LIVE, "shard: [1, 2, 3, 4]", "shard: [1, 2, 3, 5]"),
    (shards_are_merged, LIVE, "fail-fast: false", "fail-fast: true"),
    (shards_are_merged, LIVE, '"$SHARD/4"', '"$SHARD/5"'),
    (shards_are_merged, LIVE, "SHARD: ${{ matrix.shard }}", "SHARD: 1"),
    (shards_are_merged, LIVE, "path: test_artifacts/live_certification/shards/", "path: test_artifacts/"),
    (shards_are_merged, LIVE, "run_attempt }}-${{ matrix.shard }}", "run_attempt }}"),
    (shards_are_merged, LIVE, "    needs: shard\n", ""),
    (shards_are_merged, LIVE, "if: always() && (", "if: (success()) && ("),
    (shards_are_merged, LIVE, "${{ github.run_attempt }}-*", "*"),
    (shards_are_merged, LIVE, "merge shards --output-dir", "merge . --output-dir"),
    (is_started_by_hand, LIVE, "  workflow_dispatch:", "  push:\n  workflow_dispatch:"),
    (every_choice_runs_one_job, LIVE, "'vendor_live' && inputs.run_vendor_live\n", "'vendor_live'\n"),
    (every_choice_runs_one_job, LIVE, " || inputs.profile == 'real_local'", ""),
    (every_choice_runs_one_job, LIVE, "      && !(inputs.profile == 'vendor_live' && inputs.run_vendor_live)\n", ""),
    (every_choice_runs_one_job, LIVE, "run_vendor_live\"\n          exit 1", "run_vendor_live\""),
    (vendor_needs_every_address, LIVE, "for name in DPONE_POSTGRES_URL ", "for name in "),
    (vendor_needs_every_address, LIVE, "secrets.DPONE_MINIO_URL", "secrets.DPONE_CLICKHOUSE_URL"),
    (vendor_needs_every_address, LIVE, "          DPONE_MINIO_URL: ${{ secrets.DPONE_MINIO_URL }}\n", ""),
    (publishing_waits_for_the_guard, RELEASE, "needs: [guard, build]", "needs: [build]"),
    (publishing_waits_for_the_guard, RELEASE, "    needs: guard\n", ""),
    (publishing_waits_for_the_guard, RELEASE, "    environment: pypi\n", ""),
    (publishing_waits_for_the_guard, RELEASE, "  publish:\n", "  publish:\n    if: always()\n"),
    (publishing_waits_for_the_guard, RELEASE, "      - name: Decide\n", "      - name: Decide\n        if: success()\n"),
    (publishing_waits_for_the_guard, RELEASE, 'tags: ["v*"]', 'tags: ["*"]'),
    (guard_asks_for_what_live_certification_writes, RELEASE, 'wanted="real_local ', 'wanted="local_live '),
    (guard_asks_for_what_live_certification_writes, RELEASE, "live-certification-real_local-", "live-certification-"),
]  # fmt: skip
"""Each rule broken: what it must find."""


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, *_ in BREAKS} == {rule for _, rule in RULES}


@pytest.mark.parametrize(("rule", "name", "old", "new"), BREAKS, ids=told)
def test_a_broken_rule_is_seen(rule: Rule, name: str, old: str, new: str) -> None:
    broken = TEXTS[name].replace(old, new)
    assert broken != TEXTS[name], "nothing was broken"
    assert rule(Workflow(name, broken)) != []


def test_an_action_has_one_digest() -> None:
    found = {
        (action, pin)
        for text in TEXTS.values()
        for action, pin in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40} # \S+)", text)
    }
    assert len(found) == len({action for action, _ in found}) >= 5, sorted(found)


def test_options_that_have_landed_are_not_excused() -> None:
    assert LANDING & {row.option for row in TABLE} == set(), "take them out of LANDING"


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint", path=str(Path(sys.executable).parent)) or shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed: `make test` installs it where Go is")
    done = subprocess.run([program, *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = TEXTS[LIVE].replace("inputs.row_count", "inputs.rows")
    done = subprocess.run([program, "-"], input=broken, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'property "rows" is not defined' in done.stdout


def test_the_page_tells_the_inputs() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    inputs = Workflow(LIVE, TEXTS[LIVE]).triggers["workflow_dispatch"]["inputs"]
    assert re.findall(r"^\| `(\w+)` \|", page, re.M) == list(inputs)
    (line,) = re.findall(r"^\$ gh workflow run live-certification\.yml (.+)$", page, re.M)
    given = dict(re.findall(r"-f (\w+)=(\S+)", line))
    needed = {name for name, of in inputs.items() if of.get("required") and "default" not in of}
    assert needed <= set(given) <= set(inputs)
    assert all(value in inputs[name].get("options", [value]) for name, value in given.items())


@pytest.mark.parametrize("missing", [(), ("DPONE_MINIO_URL",), ("DPONE_POSTGRES_URL", "DPONE_CLICKHOUSE_URL")])
def test_missing_secrets_are_told_all_at_once(missing: tuple[str, ...]) -> None:
    first = Workflow(LIVE, TEXTS[LIVE]).jobs["vendor"]["steps"][0]
    environ = {name: "" if name in missing else "s3://somewhere" for name in first["env"]}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", first["run"]],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if missing else 0)
    assert done.stdout == (
        f"::error::nothing was run: the environment vendor-live lacks the secrets {' '.join(missing)}\n"
        if missing
        else ""
    )


def test_what_is_attested_is_what_a_seal_lists(tmp_path: Path) -> None:
    """The script as it stands in the workflow, on a tree with names that sort in more than one way."""
    (script,) = [s["run"] for s in Workflow(LIVE, TEXTS[LIVE]).jobs["attest"]["steps"] if "run" in s]
    from pytest_dpone.evidence.sums import digests, sums_text, walk

    tree = tmp_path / "evidence"
    for name in ("b.json", "B.json2", "a/b", "a.b", "a b", "\u00e9.txt", "matrix/.lock", ".hidden", "SHA256SUMS"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if path.name == ".lock" else name)
    done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == 0
    names, problems = walk(tree)
    assert problems == []
    assert len(names) == 7
    sums = {name: row[0] for name, row in digests(tree, names).items() if isinstance(row, tuple)}
    assert (tmp_path / "SHA256SUMS").read_text() == sums_text(sums)
    shutil.rmtree(tree)
    tree.mkdir()
    done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=tmp_path, check=False)
    assert done.returncode != 0, "nothing was kept, and it was attested"
