"""A real Prometheus reads the metrics of a real base, by the configuration and rules of the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from staffetta.kernel.clock import utc_now
from staffetta.lab.ports import free_port

from .test_base_live import LiveBase, live, publisher, wait_until

__all__ = ["live", "publisher"]
pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.req("U11")]

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()


def tool(name: str) -> str:
    """Debian's, installed or only fetched by scripts/system-packages."""
    return shutil.which(name) or str(ROOT / ".cache" / "prometheus" / "usr" / "bin" / name)


def block(name: str) -> str:
    """The block of the documentation that is this file."""
    found = re.search(rf"```yaml\n# {re.escape(name)}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, name
    return found.group(1)


def scrape(one: LiveBase, token: str | None = None, method: str = "GET") -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"https://127.0.0.1:{one.port}/metrics", headers=headers, verify=False, timeout=20)


def test_only_who_shows_the_token_reads_metrics(live: LiveBase) -> None:
    assert scrape(live).status_code == 404
    with live.control() as control:
        assert not control.metrics_access().enabled
        token = control.make_metrics_token("ann")
        assert control.metrics_access().made_by == "ann"
    refused = scrape(live)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="metrics"')
    assert scrape(live, token[:-1]).status_code == 401
    assert "staffetta_" not in refused.text
    answer = scrape(live, token)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    seen = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }
    assert seen["staffetta_build_info", "1.0", "base"] == 1
    assert seen["staffetta_program_up", "base"] == 1
    assert seen["staffetta_program_up", "site"] == 0
    assert seen["staffetta_site_answers",] == 0
    assert seen["staffetta_http_requests_total", "4xx", "base"] >= 3
    started = next(value for name, value in seen.items() if name[0] == "staffetta_program_start_time_seconds")
    assert 0 < utc_now().timestamp() - started < 240
    assert seen["staffetta_certificate_expiry_timestamp_seconds", "site"] > utc_now().timestamp()
    assert scrape(live, token, "POST").status_code != 200
    log = (live.paths.base / "audit.jsonl").read_text()
    assert "/v1/metrics/token" in log
    assert token not in log + live.logs() + (live.paths.base / "metrics.json").read_text()
    with live.control() as control:
        control.withdraw_metrics_token("ann")
    assert scrape(live, token).status_code == 404


def test_promtool_finds_nothing_to_mend(live: LiveBase, tmp_path: Path) -> None:
    with live.control() as control:
        token = control.make_metrics_token("ann")
    said = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=scrape(live, token).text, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    (tmp_path / "rules.yml").write_text(block("staffetta-rules.yml"))
    rules = subprocess.run([tool("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)
    assert rules.returncode == 0, rules.stdout + rules.stderr


NO_BACKUP = """
rule_files: [rules.yml]
evaluation_interval: 1h
tests:
  - interval: 1h
    input_series:
      - {series: 'staffetta_site_answers{appliance="never", instance="a", job="staffetta"}', values: '1x300'}
      - {series: 'staffetta_site_answers{appliance="down", instance="b", job="staffetta"}', values: '0x300'}
      - {series: 'staffetta_site_answers{appliance="early", instance="c", job="staffetta"}', values: '1x300'}
      - {series: 'staffetta_backup_last_timestamp_seconds{appliance="early", instance="c", job="staffetta"}',
         values: '0x300'}
      - {series: 'staffetta_site_answers{appliance="lately", instance="d", job="staffetta"}', values: '1x300'}
      - {series: 'staffetta_backup_last_timestamp_seconds{appliance="lately", instance="d", job="staffetta"}',
         values: '0+3600x300'}
    alert_rule_test:
      - {eval_time: 23h, alertname: StaffettaNoBackup, exp_alerts: []}
      - eval_time: 48h
        alertname: StaffettaNoBackup
        exp_alerts:
          - {exp_labels: {appliance: never, instance: a, job: staffetta}, exp_annotations: {summary: SAID never}}
      - eval_time: 240h
        alertname: StaffettaNoBackup
        exp_alerts:
          - {exp_labels: {appliance: never, instance: a, job: staffetta}, exp_annotations: {summary: SAID never}}
          - {exp_labels: {appliance: early, instance: c, job: staffetta}, exp_annotations: {summary: SAID early}}
"""


def test_the_alert_on_backups_fires_where_none_was_ever_made(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(block("staffetta-rules.yml"))
    tests = re.sub("SAID ([a-z]+)", r'"\1: no backup for more than a week, or none ever"', NO_BACKUP)
    (tmp_path / "tests.yml").write_text(tests)
    said = subprocess.run(
        [tool("promtool"), "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout + said.stderr


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, expression: str) -> list[Any]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}") as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
            return found
    except OSError:
        return []


def test_prometheus_reads_them_as_the_documentation_says(live: LiveBase, tmp_path: Path) -> None:
    with live.control() as control:
        (tmp_path / "staffetta.token").write_text(control.make_metrics_token("ann") + "\n")
    pem = (live.paths.certificates / "appliance.pem").read_text()
    (tmp_path / "appliance.crt").write_text(pem[pem.index("-----BEGIN CERTIFICATE") :])
    written = block("prometheus.yml").replace("192.0.2.10:8443", f"127.0.0.1:{live.port}").replace("30s", "1s")
    (tmp_path / "prometheus.yml").write_text(f"global: {{scrape_timeout: 1s, evaluation_interval: 1s}}\n{written}")
    (tmp_path / "staffetta-rules.yml").write_text(block("staffetta-rules.yml"))
    with prometheus(tmp_path) as url:
        wait_until(lambda: ask(url, 'up{job="staffetta"} == 1'), 60, "Prometheus has read the metrics")
        (one,) = ask(url, 'staffetta_program_up{program="base"}')
        assert (one["metric"]["appliance"], one["value"][1]) == ("alpha", "1")
        wait_until(
            lambda: ask(url, 'ALERTS{alertname="StaffettaDown"}'), 60, "a missing site is on its way to an alert"
        )
